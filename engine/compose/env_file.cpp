#include <algorithm>

#include "core/base/text.h"
#include "engine/compose/interpolate.h"

namespace wherry::compose {

namespace {

constexpr size_t kMaxEnvBytes = 4 << 20;
constexpr std::string_view kBlanks = " \t\r";

class EnvReader {
 public:
  EnvReader(std::string_view text, const Environment& environment)
      : rest_(text), environment_(environment), known_(environment) {}

  Result<Environment> Run() {
    if (rest_.starts_with("\xef\xbb\xbf"))
      rest_.remove_prefix(3);
    while (!rest_.empty()) {
      SkipBlanks();
      if (rest_.empty())
        break;
      if (rest_[0] == '\n' || rest_[0] == '#') {
        (void)TakeLine();
        continue;
      }
      auto done = Entry();
      if (!done)
        return std::unexpected(std::move(done).error().Wrap(Cat("line ", line_)));
    }
    return std::move(read_);
  }

 private:
  void SkipBlanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
  }

  std::string_view TakeLine() {
    size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ++line_;
    return line;
  }

  Result<> Entry() {
    if (rest_.starts_with("export ") || rest_.starts_with("export\t")) {
      rest_.remove_prefix(7);
      SkipBlanks();
    }
    size_t end = std::min(rest_.find_first_of("=\n#"), rest_.size());
    std::string name(Trim(rest_.substr(0, end)));
    if (name.empty() || name.find_first_of(" \t'\"") != name.npos)
      return Fail(Errc::kInvalid, "not NAME=VALUE");
    bool has_value = end < rest_.size() && rest_[end] == '=';
    rest_.remove_prefix(has_value ? end + 1 : end);
    if (!has_value) {
      (void)TakeLine();
      if (auto found = environment_.find(name); found != environment_.end())
        read_[name] = found->second;
      return {};
    }
    SkipBlanks();
    std::string value;
    if (!rest_.empty() && (rest_[0] == '\'' || rest_[0] == '"')) {
      value = TRY(Quoted(rest_[0]));
    } else {
      value = TRY(Plain());
    }
    bytes_ += name.size() + value.size();
    if (bytes_ > kMaxEnvBytes)
      return Fail(Errc::kInvalid, "the file with its variables replaced is longer than 4 MiB");
    if (environment_.find(name) == environment_.end())
      known_[name] = value;
    read_[std::move(name)] = std::move(value);
    return {};
  }

  Result<std::string> Expand(std::string_view text) {
    std::vector<std::string> unset;
    return Interpolate(text, known_, unset);
  }

  // To the end of the line, or to a comment after a blank.
  Result<std::string> Plain() {
    size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view text = rest_.substr(0, end);
    size_t comment = 0;
    while ((comment = text.find('#', comment)) != text.npos) {
      if (comment == 0 || kBlanks.find(text[comment - 1]) != kBlanks.npos) {
        text = text.substr(0, comment);
        break;
      }
      ++comment;
    }
    std::string value = TRY(Expand(Trim(text)));
    (void)TakeLine();
    return value;
  }

  Result<std::string> Quoted(char quote) {
    rest_.remove_prefix(1);
    size_t end = 0;
    while (end < rest_.size() && rest_[end] != quote)
      end += rest_[end] == '\\' && quote == '"' && end + 1 < rest_.size() ? 2 : 1;
    if (end >= rest_.size())
      return Fail(Errc::kInvalid, "the quote is not closed");
    std::string_view text = rest_.substr(0, end);
    std::string value(text);
    if (quote == '"')
      value = TRY(Expand(Unescape(text)));
    rest_.remove_prefix(end + 1);
    line_ += static_cast<size_t>(std::ranges::count(text, '\n'));
    std::string_view after = Trim(rest_.substr(0, std::min(rest_.find('\n'), rest_.size())));
    if (!after.empty() && after[0] != '#')
      return Fail(Errc::kInvalid, "text after the closing quote");
    (void)TakeLine();
    return value;
  }

  // \$ becomes $$, which the expansion makes a $ of.
  static std::string Unescape(std::string_view text) {
    constexpr std::string_view kFrom = "nrt\"\\$";
    constexpr std::string_view kTo[] = {"\n", "\r", "\t", "\"", "\\", "$$"};
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      size_t which = text[i] == '\\' && i + 1 < text.size() ? kFrom.find(text[i + 1]) : kFrom.npos;
      if (which == kFrom.npos) {
        out += text[i];
      } else {
        out += kTo[which];
        ++i;
      }
    }
    return out;
  }

  std::string_view rest_;
  const Environment& environment_;
  Environment known_;
  Environment read_;
  size_t line_ = 1;
  size_t bytes_ = 0;
};

}  // namespace

Result<Environment> ParseEnvFile(std::string_view text, const Environment& environment) {
  return EnvReader(text, environment).Run();
}

}  // namespace wherry::compose
