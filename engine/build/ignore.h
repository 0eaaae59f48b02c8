// .dockerignore: which files of a build context stay out. Patterns as Docker's: '*' and '?' within
// a component, "**" for any number of them, [classes], '!' for exceptions; the last that matches
// wins. Hostile input; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::build {

inline constexpr size_t kMaxIgnoreBytes = size_t{256} << 10;
inline constexpr size_t kMaxIgnorePatterns = 2000;
inline constexpr size_t kMaxPatternBytes = 4096;

// One pattern, compiled.
class PathPattern {
 public:
  // kInvalid for a malformed one. `pattern` is clean.
  static Result<PathPattern> Parse(std::string_view pattern);

  bool Matches(std::string_view path) const;
  // Whether it may match a path that begins with "directory/".
  bool MayMatchBelow(std::string_view directory) const;

 private:
  struct Piece {
    // kSkip is an optional kDirectories behind it: "(.*/)?" of "**/".
    enum class Kind : uint8_t { kText, kAny, kStar, kClass, kSkip, kDirectories, kAll };
    Kind kind;
    uint32_t c = 0;        // kText: a character
    bool negated = false;  // kClass
    uint32_t ranges = 0;   // kClass: the first in ranges_, two characters each
    uint32_t ranges_end = 0;
  };

  using States = std::string;  // one for each piece and the end: whether a match is there

  Result<> ParseClass(std::string_view pattern, size_t& at);
  void ParseStars(std::string_view pattern, size_t& at);
  States Run(std::string_view path, bool slash_behind) const;
  bool Accepts(const Piece& piece, uint32_t c) const;
  void Activate(States& states, size_t at) const;

  std::string literal_;  // when it has no wildcard
  std::vector<Piece> pieces_;
  std::vector<uint32_t> ranges_;
};

class IgnoreList {
 public:
  // A file's content. kInvalid for a pattern that is malformed, naming it.
  static Result<IgnoreList> Parse(std::string_view text);
  // Patterns of COPY --exclude.
  static Result<IgnoreList> FromPatterns(const std::vector<std::string>& patterns);

  // `path` is relative to the context, without "./" and without a slash at the end.
  bool Ignores(std::string_view path) const;
  // Whether nothing below that directory can be wanted: it is ignored and no exception lies below.
  bool IgnoresTree(std::string_view directory) const;
  bool empty() const { return rows_.empty(); }

 private:
  struct Row {
    PathPattern pattern;
    bool exception;
  };
  Result<> Add(std::string_view line);

  std::vector<Row> rows_;
};

}  // namespace wherry::build
