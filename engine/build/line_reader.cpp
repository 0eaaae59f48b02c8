#include "engine/build/line_reader.h"

#include <algorithm>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr std::string_view kDirectives[] = {"escape", "syntax", "check"};
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view TrimLeft(std::string_view text) {
  while (!text.empty() && (IsBlank(text[0]) || text[0] == '\n'))
    text.remove_prefix(1);
  return text;
}

std::string_view TrimRight(std::string_view text, std::string_view what) {
  size_t end = text.find_last_not_of(what);
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// Other names select another language.
Result<> CheckSyntax(std::string_view syntax) {
  constexpr std::string_view kKnown[] = {"docker/dockerfile", "docker/dockerfile-upstream"};
  std::string_view name = syntax.substr(0, syntax.find_first_of(":@ "));
  if (name.starts_with("docker.io/"))
    name.remove_prefix(10);
  if (name.empty() || IndexOf(kKnown, name))
    return {};
  return Fail(Errc::kUnsupported, Cat("the syntax ", syntax.substr(0, 100),
                                      " is not supported; only docker/dockerfile is"));
}

}  // namespace

bool IsBlank(char c) {
  return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

LineReader::LineReader(std::string_view text) : rest_(text) {
  if (rest_.starts_with(kByteOrderMark))
    rest_.remove_prefix(kByteOrderMark.size());
}

std::optional<std::string_view> LineReader::Raw() {
  if (rest_.empty())
    return std::nullopt;
  size_t end = rest_.find('\n');
  std::string_view line = rest_.substr(0, end == std::string_view::npos ? end : end + 1);
  rest_.remove_prefix(line.size());
  ++line_;
  return line;
}

// "# escape=`": only before any other line, each at most once.
Result<> LineReader::ReadDirective(std::string_view line) {
  auto parts = SplitFirst(line, '=');
  in_directives_ = line.starts_with('#') && parts;
  if (!in_directives_)
    return {};
  std::string name = ToLower(Trim(parts->head.substr(1)));
  std::string_view value = Trim(parts->tail);
  auto found = IndexOf(kDirectives, name);
  in_directives_ = found && !value.empty();
  if (!in_directives_)
    return {};
  auto bit = static_cast<uint8_t>(1 << *found);
  if ((seen_ & bit) != 0)
    return Invalid({"only one ", name, " parser directive can be used"});
  seen_ |= bit;
  if (name == "syntax") {
    syntax_ = value;
    return CheckSyntax(value);
  }
  if (name != "escape")
    return {};
  if (value != "\\" && value != "`")
    return Invalid({"invalid escape token '", Shown(value), "' does not match ` or \\"});
  escape_ = value[0];
  return {};
}

// Whether the line goes on: it ends in the escape character, blanks behind it aside, unless another
// one precedes that.
bool LineReader::TrimContinuation(std::string_view& line) const {
  std::string_view trimmed = TrimRight(line, " \t");
  if (!trimmed.ends_with(escape_))
    return false;
  trimmed.remove_suffix(1);
  if (trimmed.ends_with(escape_))
    return false;
  line = trimmed;
  return true;
}

Result<std::optional<std::string>> LineReader::Next() {
  while (auto raw = Raw()) {
    first_line_ = line_;
    std::string_view line = TrimLeft(TrimRight(*raw, "\r\n"));
    if (in_directives_)
      TRY(ReadDirective(line));
    if (line.starts_with('#'))
      continue;
    bool more = TrimContinuation(line);
    if (!more && line.empty())
      continue;
    std::string joined(line);
    while (more) {
      raw = Raw();
      if (!raw)
        break;
      line = TrimRight(*raw, "\r\n");
      std::string_view content = TrimLeft(line);
      if (content.empty() || content.starts_with('#'))
        continue;
      more = TrimContinuation(line);
      joined += line;
    }
    return joined;
  }
  return std::nullopt;
}

}  // namespace wherry::build
