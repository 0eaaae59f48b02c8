#include "engine/compose/interpolate.h"

#include <gtest/gtest.h>

namespace wherry::compose {
namespace {

const Environment kEnvironment = {{"A", "a"}, {"EMPTY", ""}, {"B_2", "b"}};

std::string Expand(std::string_view text) {
  std::vector<std::string> unset;
  auto result = Interpolate(text, kEnvironment, unset);
  return result ? *result : "error: " + result.error().message();
}

TEST(Interpolate, EveryForm) {
  EXPECT_EQ(Expand("x$A-${B_2}y"), "xa-by");
  EXPECT_EQ(Expand("$$A $${A}"), "$A ${A}");
  EXPECT_EQ(Expand("${A:-d}${EMPTY:-d}${EMPTY-d}${NONE-d}"), "add");
  EXPECT_EQ(Expand("${A:+r}|${EMPTY:+r}|${EMPTY+r}|${NONE+r}"), "r||r|");
  EXPECT_EQ(Expand("${A:?e}${EMPTY?e}"), "a");
  EXPECT_EQ(Expand("${NONE:-${EMPTY:-${A}}}"), "a");
  EXPECT_EQ(Expand("${NONE:-a$${b}c}"), "a${bc}");
  EXPECT_EQ(Expand("${NONE:-}"), "");
  EXPECT_EQ(Expand("no variables }"), "no variables }");
}

TEST(Interpolate, TellsWhatIsNotSet) {
  std::vector<std::string> unset;
  ASSERT_TRUE(Interpolate("$X ${Y} ${Z:-d} ${A}", kEnvironment, unset));
  EXPECT_EQ(unset, (std::vector<std::string>{"X", "Y"}));
}

TEST(Interpolate, RefusesWhatIsMalformed) {
  for (std::string_view text :
       {"$", "a$ b", "$1", "${", "${}", "${A", "${1}", "${A!b}", "${A:}", "${A:-${B}", "${-d}"}) {
    EXPECT_TRUE(Expand(text).starts_with("error: invalid variable"))
        << text << ": " << Expand(text);
  }
  EXPECT_EQ(Expand("${EMPTY:?must be $A}"), "error: the variable EMPTY is required: must be a");
  EXPECT_EQ(Expand("${NONE?}"), "error: the variable NONE is required");
  std::string deep;
  for (int i = 0; i < 100; ++i)
    deep += "${X:-";
  EXPECT_TRUE(Expand(deep + std::string(100, '}')).starts_with("error: variables are nested"));
}

TEST(Interpolate, IsBounded) {
  Environment environment = {{"BIG", std::string(200 << 10, 'x')}};
  std::vector<std::string> unset;
  EXPECT_TRUE(Interpolate("$BIG", environment, unset));
  EXPECT_FALSE(Interpolate("$BIG$BIG", environment, unset));
}

}  // namespace
}  // namespace wherry::compose
