#include "core/base/text.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace wherry {
namespace {

TEST(Cat, JoinsTextCharactersAndNumbers) {
  EXPECT_EQ(Cat("port ", 80, " of ", std::string("host"), ':', std::string_view("x")),
            "port 80 of host:x");
  EXPECT_EQ(Cat(std::numeric_limits<int64_t>::min(), " ", std::numeric_limits<uint64_t>::max()),
            "-9223372036854775808 18446744073709551615");
  EXPECT_EQ(Cat(uint8_t{7}, ' ', int8_t{-7}), "7 -7");
  EXPECT_EQ(Cat(), "");
}

TEST(Append, KeepsWhatWasThere) {
  std::string out = "a";
  for (int i = 0; i < 1000; ++i) {
    Append(out, "b", i % 10);
  }
  EXPECT_EQ(out.size(), 2001u);
  EXPECT_TRUE(out.starts_with("ab0b1"));
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(Split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(Split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(Split(",", ','), (std::vector<std::string_view>{"", ""}));
}

TEST(Split, FirstAndLast) {
  auto first = SplitFirst("a=b=c", '=');
  ASSERT_TRUE(first);
  EXPECT_EQ(first->head, "a");
  EXPECT_EQ(first->tail, "b=c");
  auto last = SplitLast("a=b=c", '=');
  ASSERT_TRUE(last);
  EXPECT_EQ(last->head, "a=b");
  EXPECT_EQ(last->tail, "c");
  EXPECT_FALSE(SplitFirst("abc", '='));
  EXPECT_FALSE(SplitLast("", '='));
}

TEST(Join, PutsSeparatorsBetween) {
  std::vector<std::string> parts = {"a", "", "b"};
  EXPECT_EQ(Join(parts, ", "), "a, , b");
  EXPECT_EQ(Join({}, ", "), "");
}

TEST(Trim, RemovesAsciiSpace) {
  EXPECT_EQ(Trim(" \t\r\n\v\f a b \n"), "a b");
  EXPECT_EQ(Trim(" \n "), "");
  EXPECT_EQ(Trim("\xC2\xA0x"), "\xC2\xA0x");
}

TEST(Case, IsAsciiOnly) {
  EXPECT_EQ(ToLower("AbZ\xC3\x84[@"), "abz\xC3\x84[@");
  EXPECT_TRUE(EqualsIgnoreCase("Content-Length", "CONTENT-length"));
  EXPECT_FALSE(EqualsIgnoreCase("a", "ab"));
  EXPECT_FALSE(EqualsIgnoreCase("@", "`"));
  EXPECT_FALSE(EqualsIgnoreCase("[", "{"));
}

TEST(ParseInt, TakesTheWholeTextOnly) {
  EXPECT_EQ(*ParseInt("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(*ParseInt("007"), 7);
  for (std::string_view bad :
       {"", "-", "+1", " 1", "1 ", "1x", "0x1", "9223372036854775808", "--1"}) {
    auto result = ParseInt(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
  }
}

TEST(ParseUint, RefusesSigns) {
  EXPECT_EQ(*ParseUint("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  for (std::string_view bad : {"", "-1", "+1", "-0", "18446744073709551616", "1.0"}) {
    EXPECT_FALSE(ParseUint(bad)) << bad;
  }
}

TEST(ParseOctal, ModeBits) {
  EXPECT_EQ(*ParseOctal("0644"), 0644u);
  EXPECT_EQ(*ParseOctal("7777"), 07777u);
  for (std::string_view bad : {"", "8", "-1", "0o7", "77777777777777"}) {
    EXPECT_FALSE(ParseOctal(bad)) << bad;
  }
}

TEST(ParseSize, UnitsAsDocker) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("512"), 512u);
  EXPECT_EQ(*ParseSize("512b"), 512u);
  EXPECT_EQ(*ParseSize("64k"), 64u << 10);
  EXPECT_EQ(*ParseSize("64K"), 64u << 10);
  EXPECT_EQ(*ParseSize("32m"), 32u << 20);
  EXPECT_EQ(*ParseSize("32MB"), 32u << 20);
  EXPECT_EQ(*ParseSize("32MiB"), 32u << 20);
  EXPECT_EQ(*ParseSize("32 mb"), 32u << 20);
  EXPECT_EQ(*ParseSize("1.5g"), 3u << 29);
  EXPECT_EQ(*ParseSize("1.5t"), uint64_t{3} << 39);
  EXPECT_EQ(*ParseSize("2.25p"), uint64_t{9} << 48);
  EXPECT_EQ(*ParseSize("0.0000001k"), 0u);
}

TEST(ParseSize, RefusesNonsense) {
  for (std::string_view bad : {"", "k", "-1", "+1", "1x", "1kk", "1bb", "1.", ".5", "1.k", "1e3",
                               "0x10", "16384p", "18446744073709551616", "99999999999t", "1 2"}) {
    auto result = ParseSize(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
  }
}

TEST(FormatSize, ThreeSignificantDigits) {
  EXPECT_EQ(FormatSize(0), "0B");
  EXPECT_EQ(FormatSize(999), "999B");
  EXPECT_EQ(FormatSize(1000), "1kB");
  EXPECT_EQ(FormatSize(1536), "1.54kB");
  EXPECT_EQ(FormatSize(1050), "1.05kB");
  EXPECT_EQ(FormatSize(1500), "1.5kB");
  EXPECT_EQ(FormatSize(9996), "10kB");
  EXPECT_EQ(FormatSize(12'340), "12.3kB");
  EXPECT_EQ(FormatSize(123'456'789), "123MB");
  EXPECT_EQ(FormatSize(999'600), "1MB");
  EXPECT_EQ(FormatSize(99'960), "100kB");
  EXPECT_EQ(FormatSize(4'440'000), "4.44MB");
  EXPECT_EQ(FormatSize(std::numeric_limits<uint64_t>::max()), "18.4EB");
}

TEST(Hex, RoundTrip) {
  std::vector<uint8_t> bytes = {0, 1, 0x7f, 0x80, 0xff};
  EXPECT_EQ(HexEncode(bytes), "00017f80ff");
  EXPECT_EQ(*HexDecode("00017F80ff"), bytes);
  EXPECT_TRUE(HexDecode("")->empty());
  for (std::string_view bad : {"0", "0g", " 00", "0x00"}) {
    EXPECT_FALSE(HexDecode(bad)) << bad;
  }
}

TEST(Base64, KnownVectors) {  // RFC 4648 section 10
  constexpr std::pair<std::string_view, std::string_view> kRows[] = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}};
  for (auto [plain, encoded] : kRows) {
    EXPECT_EQ(Base64Encode(plain), encoded);
    EXPECT_EQ(*Base64Decode(encoded), plain);
    std::string_view unpadded = encoded.substr(0, encoded.find('='));
    EXPECT_EQ(*Base64Decode(unpadded), plain);
  }
}

TEST(Base64, AllBytesAndBothAlphabets) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i);
  }
  std::string encoded = Base64Encode(bytes);
  EXPECT_EQ(*Base64Decode(encoded), bytes);
  EXPECT_EQ(*Base64Decode("-_-_"), *Base64Decode("+/+/"));
}

TEST(Base64, RefusesBrokenText) {
  for (std::string_view bad : {"A", "AAAAA", "A=", "A===", "=", "==", "====", "AA=", "AA=A",
                               "A A=", "AAA\n", "Zg=", "Zg===", "AAAA="}) {
    EXPECT_FALSE(Base64Decode(bad)) << bad;
  }
}

TEST(Url, Decode) {
  EXPECT_EQ(*UrlDecode("a%2Fb+c%20", PlusIs::kPlus), "a/b+c ");
  EXPECT_EQ(*UrlDecode("a+b", PlusIs::kSpace), "a b");
  EXPECT_EQ(*UrlDecode("%e2%82%AC", PlusIs::kPlus), "\xE2\x82\xAC");
  for (std::string_view bad : {"%", "%2", "a%2", "%zz", "%2g", "%00", "%-1"}) {
    EXPECT_FALSE(UrlDecode(bad, PlusIs::kPlus)) << bad;
  }
}

TEST(Url, EncodeRoundTrip) {
  EXPECT_EQ(UrlEncode("a/b c~._-\xE2"), "a%2Fb%20c~._-%E2");
  std::string bytes;
  for (int i = 1; i < 256; ++i) {
    bytes += static_cast<char>(i);
  }
  EXPECT_EQ(*UrlDecode(UrlEncode(bytes), PlusIs::kSpace), bytes);
}

TEST(WildcardMatch, StarsAndMarks) {
  EXPECT_TRUE(WildcardMatch("", ""));
  EXPECT_TRUE(WildcardMatch("*", ""));
  EXPECT_TRUE(WildcardMatch("a*c", "abbbc"));
  EXPECT_TRUE(WildcardMatch("*.tar.gz", "x.tar.tar.gz"));
  EXPECT_TRUE(WildcardMatch("?b*", "ab"));
  EXPECT_TRUE(WildcardMatch("**a**", "za"));
  EXPECT_FALSE(WildcardMatch("a*c", "abd"));
  EXPECT_FALSE(WildcardMatch("?", ""));
  EXPECT_FALSE(WildcardMatch("", "a"));
  // Quadratic at worst, not exponential.
  EXPECT_FALSE(WildcardMatch("*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST(RandomId, LooksLikeDockers) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string id = RandomId();
    EXPECT_EQ(id.size(), 64u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_LT(id.find_first_of("abcdef"), 12u);
    EXPECT_TRUE(seen.insert(id).second);
  }
}

}  // namespace
}  // namespace wherry
