#include <gtest/gtest.h>

#include "engine/compose/interpolate.h"

namespace wherry::compose {
namespace {

Environment Parse(std::string_view text) {
  auto read = ParseEnvFile(text, {{"OUTER", "o"}, {"HOST", "h"}});
  EXPECT_TRUE(read) << read.error().message();
  return read ? std::move(*read) : Environment();
}

std::string ProblemOf(std::string_view text) {
  auto read = ParseEnvFile(text, {});
  return read ? std::string() : read.error().message();
}

TEST(EnvFile, EveryForm) {
  EXPECT_EQ(Parse("\xef\xbb\xbf# comment\n\nA=1\n  export B = two words  # comment\r\nC='$A # x'\n"
                  "D=\"a\\tb \\\"q\\\" $A \\$A\" # comment\nE=\nF=x#y\nG=#z\n"),
            (Environment{{"A", "1"},
                         {"B", "two words"},
                         {"C", "$A # x"},
                         {"D", "a\tb \"q\" 1 $A"},
                         {"E", ""},
                         {"F", "x#y"},
                         {"G", ""}}));
  EXPECT_EQ(Parse("A='one\ntwo'\nB=\"three\nfour\"\n"),
            (Environment{{"A", "one\ntwo"}, {"B", "three\nfour"}}));
}

TEST(EnvFile, TheEnvironmentComesFirst) {
  EXPECT_EQ(Parse("HOST=mine\nA=$HOST\nB=${A}-${OUTER}-${NONE:-d}\nOUTER\nGONE\n"),
            (Environment{{"HOST", "mine"}, {"A", "h"}, {"B", "h-o-d"}, {"OUTER", "o"}}));
}

TEST(EnvFile, RefusesWhatIsMalformed) {
  EXPECT_EQ(ProblemOf("A=1\n=2\n"), "line 2: not NAME=VALUE");
  EXPECT_EQ(ProblemOf("A B=2\n"), "line 1: not NAME=VALUE");
  EXPECT_EQ(ProblemOf("A='1\n2'\nB=\"x\n"), "line 3: the quote is not closed");
  EXPECT_EQ(ProblemOf("A='1'x\n"), "line 1: text after the closing quote");
  EXPECT_TRUE(ProblemOf("A=${\n").starts_with("line 1: invalid variable"));
}

TEST(EnvFile, IsBounded) {
  std::string text = "A=" + std::string(200 << 10, 'x') + "\n";
  for (int i = 0; i < 100; ++i)
    text += "B" + std::to_string(i) + "=$A\n";
  EXPECT_NE(ProblemOf(text).find("longer than 4 MiB"), std::string::npos);
}

}  // namespace
}  // namespace wherry::compose
