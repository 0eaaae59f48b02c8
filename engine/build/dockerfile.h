// The text of a Dockerfile as statements: lines joined, comments gone, here-documents read,
// arguments split as each instruction wants them. What a statement means is instruction.h. Agrees
// with BuildKit's parser, whose words the errors use. Hostile input; thread-safe, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::build {

inline constexpr size_t kMaxDockerfileBytes = 1 << 20;
inline constexpr size_t kMaxLineBytes = 65535;   // of one line of the file, as BuildKit
inline constexpr size_t kMaxStatements = 4096;   // an image has at most 127 layers
inline constexpr size_t kMaxArguments = 10'000;  // of one statement
inline constexpr size_t kMaxHeredocs = 100;      // of one statement

enum class Keyword : uint8_t {
  kAdd,
  kArg,
  kCmd,
  kCopy,
  kEntrypoint,
  kEnv,
  kExpose,
  kFrom,
  kHealthcheck,
  kLabel,
  kMaintainer,
  kOnbuild,
  kRun,
  kShell,
  kStopsignal,
  kUser,
  kVolume,
  kWorkdir,
};
inline constexpr size_t kKeywords = 18;

std::string_view KeywordName(Keyword keyword);  // "ADD"

// "<<EOF" and the lines up to "EOF".
struct Heredoc {
  std::string name;
  bool expand = true;   // the delimiter is not quoted
  bool chomp = false;   // "<<-EOF"
  std::string content;  // as in the file

  std::string Text() const;  // the content, without leading tabs where chomp asks for that
};
// The delimiter of a word such as "<<-EOF", without content; nothing for another word. kInvalid for
// broken quotes.
Result<std::optional<Heredoc>> ParseHeredocWord(std::string_view word);

struct Statement {
  Keyword keyword = Keyword::kFrom;
  std::string text;                // the whole line, continuation lines joined
  std::vector<std::string> flags;  // "--from=x", in front of the arguments
  // ENV and LABEL: name, value, "=" or "" (the old form without one), and again. HEALTHCHECK: the
  // type and the command. CMD, ENTRYPOINT, RUN, SHELL: the words of the JSON form, or one text.
  std::vector<std::string> words;
  bool json = false;
  std::vector<Heredoc> heredocs;
  int first_line = 0;
  int last_line = 0;
  std::vector<Statement> trigger;  // of ONBUILD: the one behind it; here-documents are the outer's
};

struct Dockerfile {
  char escape = '\\';
  std::string syntax;  // of the parser directive, empty when there is none
  std::vector<Statement> statements;
};

// kInvalid "dockerfile parse error on line N: ...".
Result<Dockerfile> ParseDockerfile(std::string_view text);

// Any error as one of that line.
Error AtLine(Error error, int line);

}  // namespace wherry::build
