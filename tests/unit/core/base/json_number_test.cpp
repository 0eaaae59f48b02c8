#include "core/base/json_number.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>

namespace wherry {
namespace {

// What the C library says, on the host where it is right.
std::string Expected(double number) {
  char buffer[32];
  for (int precision : {15, 17}) {
    snprintf(buffer, sizeof buffer, "%.*g", precision, number);
    if (strtod(buffer, nullptr) == number)
      break;
  }
  return buffer;
}

void CheckRead(const std::string& text) {
  char* end = nullptr;
  char* expected_end = nullptr;
  double number = wherry_strtod(text.c_str(), &end);
  double expected = strtod(text.c_str(), &expected_end);
  EXPECT_EQ(std::bit_cast<uint64_t>(number), std::bit_cast<uint64_t>(expected)) << text;
  EXPECT_EQ(end, expected_end) << text;
}

TEST(JsonNumber, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {"0",
        "-0",
        "1",
        "-17",
        "0.1",
        "00.250",
        "123456789012345678901234567890",
        "1e0",
        "1E+5",
        "1e-5",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e309",
        "1e99999999999",
        "-1e400",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "1e-400",
        "0e999",
        "0.000",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "",
        "+3",
        "1.5.2",
        "7-3",
        "9007199254740992.99999999999999999999999999999999999999999999999",
        "0.500000000000000166533453693773481063544750213623046875",
        "1000000000000000000000000000000000000000000000000000000000000000000000000000001"})
    CheckRead(text);
}

TEST(JsonNumber, AgreesWithTheLibraryOnAnyBits) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    uint64_t bits = random();
    double number = std::bit_cast<double>(i % 4 != 0 ? bits : bits & 0x800fffffffffffff);
    if (i % 4 == 1)
      number = static_cast<double>(bits % 1000000) / 1000;
    if (!std::isfinite(number))
      continue;
    std::string text = FormatNumber(number);
    ASSERT_EQ(text, Expected(number));
    ASSERT_EQ(wherry_strtod(text.c_str(), nullptr), number) << text;
    char longer[64];
    snprintf(longer, sizeof longer, "%.*e", static_cast<int>(bits % 40), number);
    CheckRead(longer);
  }
}

TEST(JsonNumber, WritesTheEdges) {
  using Limits = std::numeric_limits<double>;
  for (double number : {0.0, 0.1, 1.5, -2.25, 1e15, 123456789012345.0, 1e16, 0.0001, 0.00001,
                        999999999999999.9, 99999999999999990.0, Limits::max(), Limits::min(),
                        Limits::denorm_min(), Limits::epsilon(), 1.0 / 3})
    EXPECT_EQ(FormatNumber(number), Expected(number));
}

}  // namespace
}  // namespace wherry
