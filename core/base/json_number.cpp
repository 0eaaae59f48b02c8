#include "core/base/json_number.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/base/text.h"

namespace {

constexpr int kMantissaBits = 53;
constexpr int kLeastExponent = -1022;  // of a number with all bits of its mantissa
// Beyond these there is nothing but infinity and zero, whatever the digits are.
constexpr int kHugeDecimal = 310;
constexpr int kTinyDecimal = -330;
constexpr size_t kMostDigits = 64;  // the others only say whether there is something
constexpr uint32_t kBillion = 1000000000;
constexpr int kBillionDigits = 9;

// A natural number: 2^-1074, the least of all, is 5^1074 with a decimal point.
class Natural {
 public:
  explicit Natural(uint64_t value) {
    for (; value != 0; value >>= 32)
      limbs_[size_++] = static_cast<uint32_t>(value);
  }

  bool IsZero() const { return size_ == 0; }
  // *this = *this * factor + term.
  void MultiplyAdd(uint32_t factor, uint32_t term) {
    uint64_t carry = term;
    for (size_t i = 0; i < size_; ++i) {
      carry += uint64_t{limbs_[i]} * factor;
      limbs_[i] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0)
      limbs_[size_++] = static_cast<uint32_t>(carry);
  }
  // By `base` to the power of `count`.
  void Scale(uint32_t base, int count) {
    for (int i = 0; i < count; ++i)
      MultiplyAdd(base, 0);
  }
  // Gives the remainder.
  uint32_t Divide(uint32_t divisor) {
    uint64_t rest = 0;
    for (size_t i = size_; i-- > 0;) {
      rest = rest << 32 | limbs_[i];
      limbs_[i] = static_cast<uint32_t>(rest / divisor);
      rest %= divisor;
    }
    while (size_ > 0 && limbs_[size_ - 1] == 0)
      --size_;
    return static_cast<uint32_t>(rest);
  }
  int Bits() const {
    return size_ == 0 ? 0 : static_cast<int>(32 * size_) - __builtin_clz(limbs_[size_ - 1]);
  }
  bool Bit(int index) const {
    return (limbs_[static_cast<size_t>(index / 32)] >> (index % 32) & 1) != 0;
  }

 private:
  std::array<uint32_t, 96> limbs_{};
  size_t size_ = 0;
};

// number * 2^exponent and a little more if there is a rest, to the nearest.
double Round(const Natural& number, int exponent, bool rest) {
  int bits = number.Bits();
  int kept = std::min(kMantissaBits, bits - 1 + exponent - kLeastExponent + kMantissaBits);
  if (kept < 0)
    return 0;
  int dropped = bits - kept;
  uint64_t mantissa = 0;
  for (int i = bits - 1; i >= std::max(dropped, 0); --i)
    mantissa = mantissa << 1 | (number.Bit(i) ? 1 : 0);
  if (dropped > 0 && number.Bit(dropped - 1)) {
    for (int i = dropped - 2; i >= 0 && !rest; --i)
      rest = number.Bit(i);
    mantissa += rest || (mantissa & 1) != 0 ? 1 : 0;
  }
  return std::ldexp(static_cast<double>(mantissa), exponent + std::max(dropped, 0));
}

// digits * 10^exponent.
double ToDouble(Natural digits, int exponent, int digit_count, bool rest) {
  if (digits.IsZero() || digit_count + exponent < kTinyDecimal)
    return 0;
  if (digit_count + exponent > kHugeDecimal)
    return HUGE_VAL;
  if (exponent >= 0) {
    digits.Scale(10, exponent);
    return Round(digits, 0, rest);
  }
  // So many bits that what is left of them has enough: log2(10) < 3.33.
  int shift = kMantissaBits + 11 - exponent * 333 / 100;
  digits.Scale(2, shift);
  for (int left = -exponent; left > 0; left -= kBillionDigits) {
    uint32_t divisor = kBillion;
    for (int i = left; i < kBillionDigits; ++i)
      divisor /= 10;
    rest |= digits.Divide(divisor) != 0;
  }
  return Round(digits, -shift, rest);
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// All decimal digits of number * 2^exponent, and how many of them follow the point.
std::string Digits(uint64_t mantissa, int exponent, int& fraction) {
  fraction = std::max(-exponent, 0);
  Natural number(mantissa);
  number.Scale(exponent > 0 ? 2 : 5, std::abs(exponent));
  std::string reversed;
  while (!number.IsZero()) {
    uint32_t part = number.Divide(kBillion);
    for (int i = 0; i < kBillionDigits; ++i, part /= 10)
      reversed += static_cast<char>('0' + part % 10);
  }
  reversed.erase(reversed.find_last_not_of('0') + 1);
  return {reversed.rbegin(), reversed.rend()};
}

// The first `count` of them, rounded; true when that made one more before the point.
bool RoundDigits(std::string& digits, size_t count) {
  if (digits.size() <= count)
    return false;
  bool is_more = digits.find_first_not_of('0', count + 1) != std::string::npos;
  bool is_odd = ((digits[count - 1] - '0') & 1) != 0;
  bool up = digits[count] > '5' || (digits[count] == '5' && (is_more || is_odd));
  digits.resize(count);
  if (!up)
    return false;
  size_t last = digits.find_last_not_of('9');
  if (last == std::string::npos) {
    digits = "1";
    return true;
  }
  ++digits[last];
  digits.resize(last + 1);
  return false;
}

// printf's %g.
std::string Format(std::string digits, int exponent, int precision) {
  exponent += RoundDigits(digits, static_cast<size_t>(precision)) ? 1 : 0;
  digits.erase(digits.find_last_not_of('0') + 1);
  if (exponent < -4 || exponent >= precision) {
    if (digits.size() > 1)
      digits.insert(1, ".");
    int absolute = std::abs(exponent);
    return wherry::Cat(digits, exponent < 0 ? "e-" : "e+", absolute < 10 ? "0" : "", absolute);
  }
  if (exponent < 0)
    return wherry::Cat("0.", std::string(static_cast<size_t>(-exponent - 1), '0'), digits);
  auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() < whole)
    digits.resize(whole, '0');
  if (digits.size() > whole)
    digits.insert(whole, ".");
  return digits;
}

}  // namespace

double wherry_strtod(const char* text, char** end) {
  const char* at = text;
  bool negative = *at == '-';
  at += *at == '-' || *at == '+' ? 1 : 0;
  Natural digits(0);
  int count = 0;  // of digits kept, without zeros in front
  int exponent = 0;
  bool rest = false;
  bool any = false;
  for (bool fraction = false; IsDigit(*at) || (*at == '.' && !fraction); ++at) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    any = true;
    bool fits = static_cast<size_t>(count) < kMostDigits;
    if (fits && (count > 0 || *at != '0')) {
      digits.MultiplyAdd(10, static_cast<uint32_t>(*at - '0'));
      ++count;
    }
    rest |= !fits && *at != '0';
    exponent += (fits ? 0 : 1) - (fraction ? 1 : 0);
  }
  if (any && (*at == 'e' || *at == 'E')) {
    const char* power = at + 1;
    bool down = *power == '-';
    power += *power == '-' || *power == '+' ? 1 : 0;
    int value = 0;
    for (at = IsDigit(*power) ? power : at; at >= power && IsDigit(*at); ++at)
      value = std::min(value * 10 + (*at - '0'), 100000);
    exponent += down ? -value : value;
  }
  if (end != nullptr)
    *end = const_cast<char*>(any ? at : text);
  double number = ToDouble(digits, exponent, count, rest);
  return negative && any ? -number : number;
}

std::string wherry::FormatNumber(double number) {
  int exponent = 0;
  double fraction = std::frexp(std::fabs(number), &exponent);
  auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, kMantissaBits));
  int places = 0;
  std::string digits = Digits(mantissa, exponent - kMantissaBits, places);
  if (digits.empty())
    return std::signbit(number) ? "-0" : "0";
  int decimal = static_cast<int>(digits.size()) - 1 - places;
  std::string sign = number < 0 ? "-" : "";
  std::string text = Cat(sign, Format(digits, decimal, 15));
  if (wherry_strtod(text.c_str(), nullptr) == number)
    return text;
  return Cat(sign, Format(digits, decimal, 17));
}
