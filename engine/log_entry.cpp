#include "engine/log_entry.h"

#include "core/base/text.h"

namespace wherry::engine {

namespace {

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      out += static_cast<char>(0xe0 | (code >> 12));
    } else {
      out += static_cast<char>(0xf0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    }
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
  }
  out += static_cast<char>(0x80 | (code & 0x3f));
}

// Reads JSON text from the front; every member returns false at the first thing that is not what it
// should be.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool Take(char c) {
    SkipSpace();
    if (!rest_.starts_with(c))
      return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool String(std::string& out) {
    out.clear();
    if (!Take('"'))
      return false;
    while (true) {
      size_t plain = rest_.find_first_of("\"\\");
      if (plain == std::string_view::npos)
        return false;
      out += rest_.substr(0, plain);
      bool end = rest_[plain] == '"';
      rest_.remove_prefix(plain + 1);
      if (end)
        return true;
      if (!Escape(out))
        return false;
    }
  }

  // Any value that is not needed.
  bool Skip() {
    SkipSpace();
    std::string ignored;
    if (rest_.starts_with('"'))
      return String(ignored);
    int depth = 0;
    while (!rest_.empty()) {
      char c = rest_.front();
      if (c == '"') {
        if (!String(ignored))
          return false;
        continue;
      }
      if (depth == 0 && (c == ',' || c == '}'))
        return true;
      if (c == '{' || c == '[')
        ++depth;
      if (c == '}' || c == ']')
        --depth;
      rest_.remove_prefix(1);
    }
    return false;
  }

  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }

 private:
  void SkipSpace() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\r'))
      rest_.remove_prefix(1);
  }

  bool Hex4(uint32_t& code) {
    if (rest_.size() < 4)
      return false;
    code = 0;
    for (char c : rest_.substr(0, 4)) {
      uint32_t digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<uint32_t>(c - 'A' + 10);
      else
        return false;
      code = code * 16 + digit;
    }
    rest_.remove_prefix(4);
    return true;
  }

  bool Escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (rest_.empty())
      return false;
    char c = rest_.front();
    rest_.remove_prefix(1);
    if (size_t simple = kNames.find(c); simple != std::string_view::npos) {
      out += kMeanings[simple];
      return true;
    }
    uint32_t code = 0;
    if (c != 'u' || !Hex4(code))
      return false;
    uint32_t low = 0;
    if (code >= 0xd800 && code < 0xdc00 && rest_.starts_with("\\u")) {
      rest_.remove_prefix(2);
      if (!Hex4(low))
        return false;
      code = 0x10000 + ((code - 0xd800) << 10) + ((low - 0xdc00) & 0x3ff);
    }
    AppendUtf8(out, code);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

bool ParseLogEntry(std::string_view line, LogEntry& entry) {
  Scanner scanner(line);
  std::string key;
  std::string stream;
  bool has_text = false;
  entry.time.clear();
  if (!scanner.Take('{'))
    return false;
  do {
    if (!scanner.String(key) || !scanner.Take(':'))
      return false;
    bool good = false;
    if (key == "log")
      good = has_text = scanner.String(entry.text);
    else if (key == "stream")
      good = scanner.String(stream);
    else if (key == "time")
      good = scanner.String(entry.time);
    else
      good = scanner.Skip();
    if (!good)
      return false;
  } while (scanner.Take(','));
  entry.from_stderr = stream == "stderr";
  return scanner.Take('}') && scanner.AtEnd() && has_text && !entry.time.empty();
}

}  // namespace wherry::engine
