// Text without locale or streams: building, splitting, numbers, sizes, hex, base64. Thread-safe, no
// state.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry {

// One piece of a Cat: text, a character or a number, held without allocation.
class CatPiece {
 public:
  CatPiece(std::string_view text) : view_(text) {}            // NOLINT(google-explicit-constructor)
  CatPiece(const std::string& text) : view_(text) {}          // NOLINT(google-explicit-constructor)
  CatPiece(const char* text) : view_(text) {}                 // NOLINT(google-explicit-constructor)
  CatPiece(char c) : buffer_{c}, view_(buffer_.data(), 1) {}  // NOLINT(google-explicit-constructor)
  template <std::integral T>
    requires(!std::same_as<T, char> && !std::same_as<T, bool>)
  CatPiece(T number) {  // NOLINT(google-explicit-constructor)
    auto end = std::to_chars(buffer_.data(), buffer_.data() + buffer_.size(), number).ptr;
    view_ = std::string_view(buffer_.data(), static_cast<size_t>(end - buffer_.data()));
  }
  CatPiece(bool) = delete;
  CatPiece(const CatPiece&) = delete;
  CatPiece& operator=(const CatPiece&) = delete;

  std::string_view view() const { return view_; }

 private:
  std::array<char, 24> buffer_{};
  std::string_view view_;
};

std::string CatPieces(std::initializer_list<std::string_view> pieces);
void AppendPieces(std::string& out, std::initializer_list<std::string_view> pieces);

// Cat("port ", 80, " of ", host): one allocation.
template <class... Parts>
std::string Cat(const Parts&... parts) {
  return CatPieces({CatPiece(parts).view()...});
}
template <class... Parts>
void Append(std::string& out, const Parts&... parts) {
  AppendPieces(out, {CatPiece(parts).view()...});
}

// Splits at every separator; "a,,b" has an empty middle; "" is one empty part.
std::vector<std::string_view> Split(std::string_view text, char separator);
// Splits at the first (or last) separator; nullopt when there is none.
struct Pair {
  std::string_view head;
  std::string_view tail;
};
std::optional<Pair> SplitFirst(std::string_view text, char separator);
std::optional<Pair> SplitLast(std::string_view text, char separator);
std::string Join(std::span<const std::string> parts, std::string_view separator);

// Without ASCII white space at both ends.
std::string_view Trim(std::string_view text);
std::string ToLower(std::string_view text);                     // ASCII only
bool EqualsIgnoreCase(std::string_view a, std::string_view b);  // ASCII only

// Whole-string decimal (optional leading minus for signed types). kInvalid naming the text
// otherwise.
Result<int64_t> ParseInt(std::string_view text);
Result<uint64_t> ParseUint(std::string_view text);
// Octal such as "0644".
Result<uint32_t> ParseOctal(std::string_view text);

// "512", "512b", "64k", "1.5g", "1t" (binary multiples, any case, optional trailing b or ib), as in
// Docker; in bytes.
Result<uint64_t> ParseSize(std::string_view text);
// 1536 -> "1.54kB" (decimal multiples, three significant digits), as docker prints sizes.
std::string FormatSize(uint64_t bytes);

std::string HexEncode(std::span<const uint8_t> bytes);
// kInvalid on an odd length or a non-hex character.
Result<std::vector<uint8_t>> HexDecode(std::string_view text);

std::string Base64Encode(std::string_view bytes);  // standard alphabet, padded
// Accepts the standard and the URL alphabet, with or without padding.
Result<std::string> Base64Decode(std::string_view text);
// Percent decoding of a URL part, kInvalid on a broken escape or an encoded NUL; '+' becomes a
// space only when asked (query strings).
enum class PlusIs : uint8_t { kPlus, kSpace };
Result<std::string> UrlDecode(std::string_view text, PlusIs plus);
// Percent-encodes everything but unreserved characters.
std::string UrlEncode(std::string_view text);

// Wildcard match with '*' and '?', whole text.
bool WildcardMatch(std::string_view pattern, std::string_view text);

// 64 hex characters of randomness from getrandom: an identifier as Docker's.
std::string RandomId();

}  // namespace wherry
