// The patterns of ${x#p}, ${x%p} and ${x/p/r}: '*', '?' and escapes, no brackets. Hostile input:
// what takes too long to match is refused. Internal to word.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::build {

enum class Extent : uint8_t { kShortest, kLongest };
enum class Occurrence : uint8_t { kFirst, kAll };

// What may be spent on the patterns of one word.
class PatternBudget {
 public:
  // False when it is used up.
  bool Spend(size_t steps) {
    left_ -= std::min(left_, steps);
    return left_ > 0;
  }

 private:
  size_t left_ = size_t{1} << 22;
};

// `value` without what `pattern` matches at its front or its end. kInvalid for a bad pattern.
Result<std::string> TrimFront(std::string_view pattern, std::string_view value, Extent extent,
                              PatternBudget& budget);
Result<std::string> TrimBack(std::string_view pattern, std::string_view value, Extent extent,
                             PatternBudget& budget);

struct Replacing {
  std::string_view with;
  Occurrence occurrence = Occurrence::kFirst;
  size_t most = 0;  // bytes of the result
};
// The longest match counts.
Result<std::string> ReplacePattern(std::string_view pattern, std::string_view value,
                                   const Replacing& replacing, PatternBudget& budget);

}  // namespace wherry::build
