#include "core/base/text.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>

namespace wherry {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

bool IsSpace(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

char LowerChar(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// -1 when `c` is not a hex digit.
int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  char lower = LowerChar(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A quoted, shortened copy for error messages: the text may be hostile.
std::string Quoted(std::string_view text) {
  constexpr size_t kMax = 64;
  std::string out = "\"";
  for (char c : text.substr(0, kMax)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return out + (text.size() > kMax ? "...\"" : "\"");
}

template <class T>
Result<T> ParseNumber(std::string_view text, int base, std::string_view what) {
  T value{};
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (code == std::errc::result_out_of_range) {
    return Fail(Errc::kInvalid, Cat(Quoted(text), " is too large for ", what));
  }
  if (code != std::errc{} || end != text.data() + text.size()) {
    return Fail(Errc::kInvalid, Cat(Quoted(text), " is not ", what));
  }
  return value;
}

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') {
    return c - 'A';
  }
  if (c >= 'a' && c <= 'z') {
    return c - 'a' + 26;
  }
  if (c >= '0' && c <= '9') {
    return c - '0' + 52;
  }
  if (c == '+' || c == '-') {
    return 62;
  }
  return c == '/' || c == '_' ? 63 : -1;
}

bool IsUnreserved(char c) {
  char lower = LowerChar(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void FillRandom(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t count = getrandom(bytes.data(), bytes.size(), 0);
    if (count < 0 && errno != EINTR) {
      abort();  // no kernel that runs containers lacks getrandom
    }
    if (count > 0) {
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
}

}  // namespace

void AppendPieces(std::string& out, std::initializer_list<std::string_view> pieces) {
  size_t size = out.size();
  for (std::string_view piece : pieces) {
    size += piece.size();
  }
  if (size > out.capacity()) {
    out.reserve(std::max(size, 2 * out.capacity()));
  }
  for (std::string_view piece : pieces) {
    out.append(piece);
  }
}

std::string CatPieces(std::initializer_list<std::string_view> pieces) {
  size_t size = 0;
  for (std::string_view piece : pieces) {
    size += piece.size();
  }
  std::string out;
  out.reserve(size);
  for (std::string_view piece : pieces) {
    out.append(piece);
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::optional<Pair> SplitFirst(std::string_view text, char separator) {
  size_t at = text.find(separator);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  return Pair{text.substr(0, at), text.substr(at + 1)};
}

std::optional<Pair> SplitLast(std::string_view text, char separator) {
  size_t at = text.rfind(separator);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  return Pair{text.substr(0, at), text.substr(at + 1)};
}

std::string Join(std::span<const std::string> parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    Append(out, i == 0 ? std::string_view() : separator, parts[i]);
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && IsSpace(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::string ToLower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    c = LowerChar(c);
  }
  return out;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return LowerChar(x) == LowerChar(y);
         });
}

Result<int64_t> ParseInt(std::string_view text) {
  return ParseNumber<int64_t>(text, 10, "a whole number");
}

Result<uint64_t> ParseUint(std::string_view text) {
  return ParseNumber<uint64_t>(text, 10, "a whole number that is not negative");
}

Result<uint32_t> ParseOctal(std::string_view text) {
  return ParseNumber<uint32_t>(text, 8, "an octal number");
}

Result<uint64_t> ParseSize(std::string_view text) {
  auto invalid = [&](std::string_view why) {
    return Fail(Errc::kInvalid, Cat("size ", Quoted(text), " ", why,
                                    "; use a number with an optional unit b, k, m, g or t"));
  };
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    ++digits;
  }
  if (digits == 0) {
    return invalid("does not begin with a digit");
  }
  uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + digits, value).ec != std::errc{}) {
    return invalid("is too large");
  }
  // The fraction in millionths; more digits than that do not count.
  std::string_view rest = text.substr(digits);
  uint64_t millionths = 0;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    size_t length = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (length == 0) {
      return invalid("has no digit after the point");
    }
    for (size_t i = 0; i < 6; ++i) {
      millionths = millionths * 10 + (i < length ? static_cast<uint64_t>(rest[i] - '0') : 0);
    }
    rest.remove_prefix(length);
  }
  std::string unit = ToLower(Trim(rest));
  constexpr std::string_view kUnits = "bkmgtp";
  size_t power = unit.empty() ? 0 : kUnits.find(unit[0]);
  std::string_view suffix = unit.empty() ? std::string_view() : std::string_view(unit).substr(1);
  if (power == std::string_view::npos ||
      !(suffix.empty() || (power > 0 && (suffix == "b" || suffix == "ib")))) {
    return invalid("has an unknown unit");
  }
  uint64_t factor = uint64_t{1} << (10 * power);
  if (value > std::numeric_limits<uint64_t>::max() / factor - 1) {
    return invalid("is too large");
  }
  // factor < 2^51 and millionths < 2^20: split to stay below 2^64.
  uint64_t part = (factor >> 10) * millionths / 1'000'000 * 1024;
  if (factor < (uint64_t{1} << 43)) {
    part = factor * millionths / 1'000'000;
  }
  return value * factor + part;
}

std::string FormatSize(uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  // `unit` is the power of 1000 that leaves one to three digits before the point.
  size_t unit = 0;
  uint64_t divisor = 1;
  while (unit + 1 < std::size(kUnits) && bytes / divisor >= 1000) {
    divisor *= 1000;
    ++unit;
  }
  if (unit == 0) {
    return Cat(bytes, kUnits[0]);
  }
  // Three significant digits, rounded: hundredths below 10, tenths below 100, whole above.
  uint64_t whole = bytes / divisor;
  uint64_t steps = whole >= 100 ? 1 : whole >= 10 ? 10 : 100;
  uint64_t step = divisor / steps;
  uint64_t scaled = bytes / step + (bytes % step >= step - step / 2 ? 1 : 0);
  if (scaled == 1000 * steps && unit + 1 < std::size(kUnits)) {  // 999.9 kB
    return Cat(1, kUnits[unit + 1]);
  }
  std::string out = Cat(scaled / steps);
  if (uint64_t fraction = scaled % steps; fraction != 0) {
    Append(out, '.', steps == 100 && fraction < 10 ? "0" : "",
           steps == 100 && fraction % 10 == 0 ? fraction / 10 : fraction);
  }
  return out.append(kUnits[unit]);
}

std::string HexEncode(std::span<const uint8_t> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    out += kHexDigits[byte >> 4];
    out += kHexDigits[byte & 15];
  }
  return out;
}

Result<std::vector<uint8_t>> HexDecode(std::string_view text) {
  if (text.size() % 2 != 0) {
    return Fail(Errc::kInvalid, Cat(Quoted(text), " has an odd number of hex digits"));
  }
  std::vector<uint8_t> out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    int high = HexValue(text[i]);
    int low = HexValue(text[i + 1]);
    if (high < 0 || low < 0) {
      return Fail(Errc::kInvalid, Cat(Quoted(text), " is not hexadecimal"));
    }
    out.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return out;
}

std::string Base64Encode(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

Result<std::string> Base64Decode(std::string_view text) {
  std::string_view digits = text;
  for (int i = 0; i < 2 && digits.ends_with('='); ++i) {
    digits.remove_suffix(1);
  }
  bool padded = digits.size() != text.size();
  if (digits.size() % 4 == 1 || (padded && text.size() % 4 != 0)) {
    return Fail(Errc::kInvalid, "base64 text has a wrong length");
  }
  std::string out;
  out.reserve(digits.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int bit_count = 0;
  for (char c : digits) {
    int value = Base64Value(c);
    if (value < 0) {
      return Fail(Errc::kInvalid, "base64 text contains a character outside its alphabet");
    }
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffff;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out += static_cast<char>(bits >> bit_count & 0xff);
    }
  }
  return out;
}

Result<std::string> UrlDecode(std::string_view text, PlusIs plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus == PlusIs::kSpace) {
      out += ' ';
      continue;
    }
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    int high = i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? HexValue(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return Fail(Errc::kInvalid, Cat(Quoted(text), " has a broken percent escape"));
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string UrlEncode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (IsUnreserved(c)) {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += static_cast<char>(kHexDigits[byte >> 4] & ~(byte >> 4 > 9 ? 0x20 : 0));
    out += static_cast<char>(kHexDigits[byte & 15] & ~((byte & 15) > 9 ? 0x20 : 0));
  }
  return out;
}

bool WildcardMatch(std::string_view pattern, std::string_view text) {
  // The classic two-finger walk: on a mismatch the last star swallows one character more. O(pattern
  // * text).
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') {
    ++p;
  }
  return p == pattern.size();
}

std::string RandomId() {
  constexpr size_t kShortId = 12;
  for (;;) {
    std::array<uint8_t, 32> bytes;
    FillRandom(bytes);
    std::string id = HexEncode(bytes);
    // A short id of digits only could be taken for a number by scripts; Docker avoids it too.
    if (id.find_first_not_of("0123456789") < kShortId) {
      return id;
    }
  }
}

}  // namespace wherry
