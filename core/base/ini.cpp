#include "core/base/ini.h"

#include <ini.h>

#include <cstring>

#include "core/base/text.h"

static_assert(INI_HANDLER_LINENO == 1, "inih must be built to hand over line numbers");

namespace wherry {

namespace {

constexpr size_t kMaxLine = 2000;

using Visitor = std::move_only_function<Result<>(const IniEntry&) const>;

// What inih works on. It gets one line at a time; sections are tracked here because inih cuts their
// names at 49 characters.
struct Parse {
  std::string_view rest;
  std::string_view file_name;
  const Visitor* visit;
  int line = 0;
  std::string section;
  Result<> result;

  void Refuse(std::string_view why) {
    result = Fail(Errc::kInvalid, Cat(file_name, ":", line, ": ", why));
  }
  bool ReadSection(std::string_view header);
};

bool Parse::ReadSection(std::string_view header) {
  if (header.find(']') != header.size() - 1) {
    Refuse("a section must be written [name] alone on its line");
    return false;
  }
  section = Trim(header.substr(1, header.size() - 2));
  return true;
}

char* ReadLine(char* out, int capacity, void* context) {
  auto* parse = static_cast<Parse*>(context);
  if (!parse->result || parse->rest.empty()) {
    return nullptr;
  }
  ++parse->line;
  size_t end = parse->rest.find('\n');
  std::string_view line = parse->rest.substr(0, end);
  parse->rest.remove_prefix(end == std::string_view::npos ? parse->rest.size() : end + 1);
  if (line.size() > kMaxLine || line.size() + 2 > static_cast<size_t>(capacity)) {
    parse->Refuse(Cat("the line is longer than ", kMaxLine, " characters"));
    return nullptr;
  }
  if (line.find('\0') != std::string_view::npos) {
    parse->Refuse("the line contains a NUL character");
    return nullptr;
  }
  std::string_view trimmed = Trim(line);
  if (trimmed.starts_with('[') && !parse->ReadSection(trimmed)) {
    return nullptr;
  }
  memcpy(out, line.data(), line.size());
  memcpy(out + line.size(), "\n", 2);
  return out;
}

int HandleEntry(void* context, const char*, const char* name, const char* value, int line) {
  auto* parse = static_cast<Parse*>(context);
  if (*name == '\0') {
    parse->Refuse("the key before '=' is missing");
    return 1;
  }
  parse->result = (*parse->visit)(IniEntry{parse->section, name, value, parse->file_name, line});
  return 1;
}

}  // namespace

Result<> ParseIni(std::string_view text, std::string_view file_name,
                  const std::move_only_function<Result<>(const IniEntry&) const>& visit) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.remove_prefix(3);
  }
  Parse parse{.rest = text, .file_name = file_name, .visit = &visit, .section = {}, .result = {}};
  int bad_line = ini_parse_stream(ReadLine, &parse, HandleEntry, &parse);
  if (bad_line > 0) {
    return Fail(Errc::kInvalid,
                Cat(file_name, ":", bad_line, ": neither a [section], a comment nor key = value"));
  }
  return std::move(parse.result);
}

}  // namespace wherry
