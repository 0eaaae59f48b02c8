// Words of a Dockerfile: quotes, escapes and variables, as Docker documents them: $x ${x} ${x:-d}
// ${x-d} ${x:+a} ${x+a} ${x:?e} ${x?e} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}.
// Hostile input; thread-safe, no state.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::build {

// What variables may add to one word, so that a few lines cannot fill the memory.
inline constexpr size_t kMaxExpandedBytes = 1 << 20;
inline constexpr int kMaxNesting = 50;  // of ${a:-${b:-...}}

class Variables {
 public:
  void Set(std::string_view name, std::string_view value);
  // Null when it is not set.
  const std::string* Find(std::string_view name) const;

 private:
  std::map<std::string, std::string> values_;
};

struct WordRules {
  char escape = '\\';
  bool keep_quotes = false;
  bool keep_escapes = false;
  bool keep_unset = false;    // "$x" stays when x is not set; otherwise it is empty
  bool plain_quotes = false;  // quotes are characters as others
};

// The text without quotes and escapes, variables replaced; blanks stay as they are. kInvalid
// "failed to process "...": ...".
Result<std::string> ExpandWord(std::string_view text, const Variables& variables,
                               const WordRules& rules);
// The same, split at blanks outside of quotes; those in values of unquoted variables split too.
Result<std::vector<std::string>> ExpandWords(std::string_view text, const Variables& variables,
                                             const WordRules& rules);

}  // namespace wherry::build
