#include "engine/build/ignore.h"

#include "core/base/text.h"
#include "engine/build/path.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

// The character at `at` and the place behind it. A byte that is no UTF-8 is a character of its own,
// outside of Unicode.
uint32_t TakeCharacter(std::string_view text, size_t& at) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(i < text.size() ? text[i] : 0); };
  uint8_t lead = byte(at);
  size_t tails = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
  uint32_t c = lead & (tails == 0 ? 0x7fu : 0x3fu >> tails);
  for (size_t i = 1; i <= tails; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80)
      tails = 0;
    c = c << 6 | (byte(at + i) & 0x3fu);
  }
  if (lead >= 0x80 && tails == 0)
    c = 0x110000u + lead;
  at += tails + 1;
  return c;
}

std::unexpected<Error> Malformed(std::string_view pattern) {
  return Invalid({"syntax error in pattern: ", Shown(pattern)});
}

// A character of a class, which may be escaped.
Result<uint32_t> TakeOfClass(std::string_view pattern, size_t& at) {
  if (at >= pattern.size() || pattern[at] == '-' || pattern[at] == ']')
    return Malformed(pattern);
  if (pattern[at] == '\\' && ++at >= pattern.size())
    return Malformed(pattern);
  uint32_t c = TakeCharacter(pattern, at);
  if (at >= pattern.size())
    return Malformed(pattern);
  return c;
}

}  // namespace

// "[a-z^]", `at` behind the '['.
Result<> PathPattern::ParseClass(std::string_view pattern, size_t& at) {
  Piece piece{.kind = Piece::Kind::kClass, .ranges = static_cast<uint32_t>(ranges_.size())};
  piece.negated = at < pattern.size() && pattern[at] == '^';
  at += piece.negated ? 1 : 0;
  do {
    uint32_t low = TRY(TakeOfClass(pattern, at));
    uint32_t high = low;
    if (pattern[at] == '-')
      high = TRY(TakeOfClass(pattern, ++at));
    ranges_.push_back(low);
    ranges_.push_back(high);
  } while (pattern[at] != ']');
  ++at;
  piece.ranges_end = static_cast<uint32_t>(ranges_.size());
  pieces_.push_back(piece);
  return {};
}

// "*" or "**", `at` behind the first.
void PathPattern::ParseStars(std::string_view pattern, size_t& at) {
  using Kind = Piece::Kind;
  if (at == pattern.size() || pattern[at] != '*') {
    pieces_.push_back({.kind = Kind::kStar});
    return;
  }
  ++at;
  bool slash = at < pattern.size() && pattern[at] == '/';
  at += slash ? 1 : 0;
  // Without wildcards behind it, "**x" matches every path that ends in "x".
  bool suffix =
      pieces_.empty() && !slash && pattern.find_first_of("*?[]\\", at) == std::string_view::npos;
  if (at == pattern.size() || suffix) {
    pieces_.push_back({.kind = Kind::kAll});
    return;
  }
  pieces_.push_back({.kind = Kind::kSkip});
  pieces_.push_back({.kind = Kind::kDirectories});
}

Result<PathPattern> PathPattern::Parse(std::string_view pattern) {
  PathPattern out;
  bool wild = false;
  for (size_t at = 0; at < pattern.size();) {
    uint32_t c = TakeCharacter(pattern, at);
    wild = wild || c == '*' || c == '?' || c == '[' || c == '\\';
    if (c == '*') {
      out.ParseStars(pattern, at);
    } else if (c == '?') {
      out.pieces_.push_back({.kind = Piece::Kind::kAny});
    } else if (c == '[') {
      TRY(out.ParseClass(pattern, at));
    } else if (c == '\\' && at == pattern.size()) {
      return Malformed(pattern);
    } else {
      c = c == '\\' ? TakeCharacter(pattern, at) : c;
      out.pieces_.push_back({.kind = Piece::Kind::kText, .c = c});
    }
  }
  if (!wild) {
    out.literal_ = pattern;
    out.pieces_.clear();
  }
  return out;
}

bool PathPattern::Accepts(const Piece& piece, uint32_t c) const {
  switch (piece.kind) {
    case Piece::Kind::kText:
      return c == piece.c;
    case Piece::Kind::kAny:
    case Piece::Kind::kStar:
      return c != '/';
    case Piece::Kind::kClass:
      for (uint32_t i = piece.ranges; i < piece.ranges_end; i += 2) {
        if (c >= ranges_[i] && c <= ranges_[i + 1])
          return !piece.negated;
      }
      return piece.negated;
    case Piece::Kind::kSkip:
      return false;
    case Piece::Kind::kDirectories:
    case Piece::Kind::kAll:
      return true;
  }
  return false;
}

// The match has come to piece `at`, and past pieces that may match nothing.
void PathPattern::Activate(States& states, size_t at) const {
  while (states[at] == 0) {
    states[at] = 1;
    if (at == pieces_.size())
      return;
    Piece::Kind kind = pieces_[at].kind;
    if (kind == Piece::Kind::kSkip) {
      states[at + 1] = 1;
      at += 2;
    } else if (kind == Piece::Kind::kStar || kind == Piece::Kind::kAll) {
      ++at;
    } else {
      return;
    }
  }
}

// The pieces a match of all of `path` can have come to; empty when there is none.
PathPattern::States PathPattern::Run(std::string_view path, bool slash_behind) const {
  using Kind = Piece::Kind;
  States states(pieces_.size() + 1, '\0');
  States next(states.size(), '\0');
  Activate(states, 0);
  for (size_t at = 0; at < path.size() || slash_behind;) {
    slash_behind = slash_behind && at < path.size();
    uint32_t c = at < path.size() ? TakeCharacter(path, at) : '/';
    next.assign(states.size(), '\0');
    bool any = false;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (states[i] == 0 || !Accepts(pieces_[i], c))
        continue;
      any = true;
      Kind kind = pieces_[i].kind;
      bool stays = kind == Kind::kStar || kind == Kind::kAll || kind == Kind::kDirectories;
      if (kind == Kind::kDirectories)
        next[i] = 1;
      else
        Activate(next, stays ? i : i + 1);
      if (kind == Kind::kDirectories && c == '/')
        Activate(next, i + 1);
    }
    if (!any)
      return {};
    states.swap(next);
  }
  return states;
}

bool PathPattern::Matches(std::string_view path) const {
  if (pieces_.empty())
    return path == literal_;
  States states = Run(path, false);
  return !states.empty() && states.back() != 0;
}

bool PathPattern::MayMatchBelow(std::string_view directory) const {
  if (pieces_.empty())
    return literal_.size() > directory.size() + 1 && literal_.starts_with(directory) &&
           literal_[directory.size()] == '/';
  return !Run(directory, true).empty();
}

Result<> IgnoreList::Add(std::string_view line) {
  line = Trim(line);
  bool exception = line.starts_with('!');
  if (exception)
    line = Trim(line.substr(1));
  if (line.empty())
    return exception ? Result<>(Invalid({"illegal exclusion pattern: \"!\""})) : Result<>();
  if (rows_.size() == kMaxIgnorePatterns)
    return Invalid({"more than ", std::to_string(kMaxIgnorePatterns), " patterns"});
  if (line.size() > kMaxPatternBytes)
    return Invalid({"the pattern is longer than ", std::to_string(kMaxPatternBytes), " bytes"});
  std::string clean = CleanPath(line);
  if (clean.size() > 1 && clean.starts_with('/'))
    clean.erase(0, 1);
  auto pattern = TRY(PathPattern::Parse(clean));
  rows_.push_back({std::move(pattern), exception});
  return {};
}

Result<IgnoreList> IgnoreList::Parse(std::string_view text) {
  if (text.size() > kMaxIgnoreBytes)
    return Invalid({".dockerignore is larger than ", std::to_string(kMaxIgnoreBytes), " bytes"});
  if (text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  IgnoreList list;
  int number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    if (!line.starts_with('#'))
      TRY_CTX(Cat(".dockerignore:", number), list.Add(line));
  }
  return list;
}

Result<IgnoreList> IgnoreList::FromPatterns(const std::vector<std::string>& patterns) {
  IgnoreList list;
  for (const std::string& pattern : patterns)
    TRY(list.Add(pattern));
  return list;
}

bool IgnoreList::Ignores(std::string_view path) const {
  bool ignored = false;
  for (const Row& row : rows_) {
    if (row.exception != ignored)
      continue;  // it would change nothing
    bool matches = row.pattern.Matches(path);
    for (size_t slash = path.find('/'); !matches && slash != std::string_view::npos;
         slash = path.find('/', slash + 1))
      matches = row.pattern.Matches(path.substr(0, slash));
    if (matches)
      ignored = !row.exception;
  }
  return ignored;
}

bool IgnoreList::IgnoresTree(std::string_view directory) const {
  if (!Ignores(directory))
    return false;
  for (const Row& row : rows_) {
    if (row.exception && row.pattern.MayMatchBelow(directory))
      return false;
  }
  return true;
}

}  // namespace wherry::build
