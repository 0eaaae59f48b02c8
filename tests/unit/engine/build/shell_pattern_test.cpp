#include "engine/build/shell_pattern.h"

#include <gtest/gtest.h>

namespace wherry::build {
namespace {

std::string Front(std::string_view pattern, std::string_view value, Extent extent) {
  PatternBudget budget;
  auto out = TrimFront(pattern, value, extent, budget);
  return out ? *out : "error: " + out.error().message();
}

std::string Back(std::string_view pattern, std::string_view value, Extent extent) {
  PatternBudget budget;
  auto out = TrimBack(pattern, value, extent, budget);
  return out ? *out : "error: " + out.error().message();
}

std::string Replaced(std::string_view pattern, std::string_view value, std::string_view with,
                     Occurrence occurrence = Occurrence::kAll) {
  PatternBudget budget;
  Replacing replacing{.with = with, .occurrence = occurrence, .most = 1000};
  auto out = ReplacePattern(pattern, value, replacing, budget);
  return out ? *out : "error: " + out.error().message();
}

TEST(ShellPattern, Front) {
  EXPECT_EQ(Front("*/", "a/b/c", Extent::kShortest), "b/c");
  EXPECT_EQ(Front("*/", "a/b/c", Extent::kLongest), "c");
  EXPECT_EQ(Front("b", "abc", Extent::kLongest), "abc");
  EXPECT_EQ(Front("*", "abc", Extent::kShortest), "abc");
  EXPECT_EQ(Front("*", "abc", Extent::kLongest), "");
  EXPECT_EQ(Front("", "abc", Extent::kLongest), "abc");
  EXPECT_EQ(Front("?\\?", "???y", Extent::kShortest), "?y");
  EXPECT_EQ(Front("*x*y", "xxyy", Extent::kShortest), "y");
  EXPECT_EQ(Front("()[]{\\}^$.\\*\\?|\\\\", "()[]{}^$.*?|\\x", Extent::kShortest), "x");
}

TEST(ShellPattern, Back) {
  EXPECT_EQ(Back(".*", "a.tar.gz", Extent::kShortest), "a.tar");
  EXPECT_EQ(Back(".*", "a.tar.gz", Extent::kLongest), "a");
  EXPECT_EQ(Back("\\**", "xx**", Extent::kLongest), "xx");
  EXPECT_EQ(Back("\\**\\*", "a***yy*", Extent::kLongest), "a");
  EXPECT_EQ(Back("", "abc", Extent::kLongest), "abc");
  EXPECT_EQ(Back("ab", "abc", Extent::kLongest), "abc");
}

TEST(ShellPattern, CharactersAreNotBytes) {
  EXPECT_EQ(Front("?", "éa", Extent::kLongest), "a");
  EXPECT_EQ(Back("?", "aé", Extent::kLongest), "a");
  EXPECT_EQ(Back("é", "aé", Extent::kLongest), "a");
  EXPECT_EQ(Back("안?", "a안녕", Extent::kLongest), "a");
  EXPECT_EQ(Front("?", "\xc3", Extent::kLongest), "");
}

TEST(ShellPattern, Replace) {
  EXPECT_EQ(Replaced("\\*/", "/foo*/*/*.txt", ".", Occurrence::kFirst), "/foo.*/*.txt");
  EXPECT_EQ(Replaced("\\*/", "/foo*/*/*.txt", "."), "/foo..*.txt");
  EXPECT_EQ(Replaced("/?/", "/a/foo/b/c.txt", "/"), "/foo/c.txt");
  EXPECT_EQ(Replaced("", "xy", "-", Occurrence::kFirst), "-xy");
  EXPECT_EQ(Replaced("", "xy", "-"), "-x-y-");
  EXPECT_EQ(Replaced("*", "xy", "-"), "-");
  EXPECT_EQ(Replaced("a", "banana", "oo"), "boonoonoo");
  EXPECT_EQ(Replaced("q", "banana", "oo"), "banana");
}

TEST(ShellPattern, Errors) {
  EXPECT_EQ(Front("a\\", "a", Extent::kShortest),
            "error: invalid pattern (a\\) in substitution: invalid escape '\\'");
  EXPECT_EQ(Back("\\xy", "a", Extent::kShortest),
            "error: invalid pattern (\\xy) in substitution: invalid escape '\\x'");
  EXPECT_EQ(Replaced("?", std::string(500, 'x'), "123"),
            "error: the result is larger than 1000 bytes");
}

TEST(ShellPattern, WhatTakesTooLongIsRefused) {
  std::string value(200'000, 'a');
  EXPECT_EQ(Replaced("*b", value, ""),
            "error: the pattern of a substitution takes too long to match");
  std::string stars;
  for (int i = 0; i < 1000; ++i)
    stars += "*a";
  EXPECT_EQ(Front(stars + "b", value, Extent::kLongest),
            "error: the pattern of a substitution takes too long to match");
}

}  // namespace
}  // namespace wherry::build
