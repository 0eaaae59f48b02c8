#include "engine/build/shell_pattern.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

struct Piece {
  enum class Kind : uint8_t { kText, kAny, kStar };
  Kind kind;
  std::string_view text = {};  // one character
};

bool IsTail(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;  // of a UTF-8 sequence
}

// The number of bytes of the character at `at`; 0 at the end.
size_t CharacterBytes(std::string_view text, size_t at) {
  size_t end = at;
  do {
    end += end < text.size() ? 1 : 0;
  } while (end < text.size() && IsTail(text[end]));
  return end - at;
}

Result<std::vector<Piece>> Compile(std::string_view pattern) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < pattern.size();) {
    std::string_view c = pattern.substr(i, CharacterBytes(pattern, i));
    i += c.size();
    if (c == "*") {
      if (pieces.empty() || pieces.back().kind != Piece::Kind::kStar)
        pieces.push_back({Piece::Kind::kStar});
      continue;
    }
    if (c == "?") {
      pieces.push_back({Piece::Kind::kAny});
      continue;
    }
    if (c == "\\") {
      // '}' and '/' are escaped because of what surrounds the pattern.
      std::string_view next = pattern.substr(i, CharacterBytes(pattern, i));
      if (next.empty() || std::string_view("*?\\}/").find(next) == std::string_view::npos)
        return Invalid({"invalid pattern (", Shown(pattern),
                        ") in substitution: invalid escape '\\", next, "'"});
      c = next;
      i += c.size();
    }
    pieces.push_back({Piece::Kind::kText, c});
  }
  return pieces;
}

// Matches pieces against the text from one side, keeping all places a match can have come to.
class Matcher {
 public:
  Matcher(std::vector<Piece> pieces, PatternBudget& budget)
      : pieces_(std::move(pieces)), budget_(budget) {}

  // The length of the match at the front of `text`; nothing when there is none.
  Result<std::optional<size_t>> Front(std::string_view text, Extent extent) {
    places_ = {0};
    for (const Piece& piece : pieces_)
      TRY(Step(piece, text));
    if (places_.empty())
      return std::nullopt;
    return extent == Extent::kLongest ? places_.back() : places_.front();
  }

 private:
  Result<> Step(const Piece& piece, std::string_view text) {
    std::vector<size_t> next;
    if (piece.kind == Piece::Kind::kStar && !places_.empty()) {
      for (size_t place = places_.front(); place <= text.size(); ++place) {
        if (place == text.size() || !IsTail(text[place]))
          next.push_back(place);
      }
    } else {
      for (size_t place : places_) {
        bool text_matches =
            piece.kind != Piece::Kind::kText || text.substr(place).starts_with(piece.text);
        size_t bytes = CharacterBytes(text, place);
        if (bytes > 0 && text_matches)
          next.push_back(place + bytes);
      }
    }
    size_t steps = places_.size() + next.size() + 1;
    places_ = std::move(next);
    if (!budget_.Spend(steps))
      return Invalid({"the pattern of a substitution takes too long to match"});
    return {};
  }

  std::vector<Piece> pieces_;
  std::vector<size_t> places_;  // ascending
  PatternBudget& budget_;
};

// Characters in reverse order; the bytes of one stay in theirs.
std::string Reverse(std::string_view text) {
  std::string reversed;
  reversed.reserve(text.size());
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && IsTail(text[start]))
      --start;
    reversed += text.substr(start, end - start);
    end = start;
  }
  return reversed;
}

}  // namespace

Result<std::string> TrimFront(std::string_view pattern, std::string_view value, Extent extent,
                              PatternBudget& budget) {
  Matcher matcher(TRY(Compile(pattern)), budget);
  auto length = TRY(matcher.Front(value, extent));
  return std::string(value.substr(length.value_or(0)));
}

Result<std::string> TrimBack(std::string_view pattern, std::string_view value, Extent extent,
                             PatternBudget& budget) {
  auto pieces = TRY(Compile(pattern));
  std::reverse(pieces.begin(), pieces.end());
  Matcher matcher(std::move(pieces), budget);
  auto length = TRY(matcher.Front(Reverse(value), extent));
  return std::string(value.substr(0, value.size() - length.value_or(0)));
}

Result<std::string> ReplacePattern(std::string_view pattern, std::string_view value,
                                   const Replacing& replacing, PatternBudget& budget) {
  Matcher matcher(TRY(Compile(pattern)), budget);
  std::string out;
  bool after_match = false;
  for (size_t at = 0; at <= value.size();) {
    auto length = TRY(matcher.Front(value.substr(at), Extent::kLongest));
    bool matched = length && (*length > 0 || !after_match);
    if (matched)
      out += replacing.with;
    if (out.size() > replacing.most)
      return Invalid({"the result is larger than ", std::to_string(replacing.most), " bytes"});
    if (matched && replacing.occurrence == Occurrence::kFirst)
      return out.append(value.substr(at + *length));
    after_match = matched && *length > 0;
    size_t step = after_match ? *length : 1;
    if (!after_match && at < value.size())
      out.push_back(value[at]);
    at += step;
  }
  return out;
}

}  // namespace wherry::build
