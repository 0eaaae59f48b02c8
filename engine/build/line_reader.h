// Lines of a Dockerfile: parser directives at the top, comments left out, continuation lines
// joined. Internal to the parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::build {

// White space inside a line, as BuildKit and Go see it (ASCII only).
bool IsBlank(char c);

class LineReader {
 public:
  // `text` must outlive this.
  explicit LineReader(std::string_view text);

  // The next line that is none of comment, directive or empty, with its continuation lines; nothing
  // at the end. first_line() and line() say where it was.
  Result<std::optional<std::string>> Next();
  // The next line of the file as it is, with its end.
  std::optional<std::string_view> Raw();

  int first_line() const { return first_line_; }
  int line() const { return line_; }
  char escape() const { return escape_; }
  std::string_view syntax() const { return syntax_; }

 private:
  Result<> ReadDirective(std::string_view line);
  bool TrimContinuation(std::string_view& line) const;

  std::string_view rest_;
  int first_line_ = 0;
  int line_ = 0;
  bool in_directives_ = true;
  uint8_t seen_ = 0;  // directives, by their row
  char escape_ = '\\';
  std::string_view syntax_;
};

}  // namespace wherry::build
