#include "net/registry/auth.h"

#include <gtest/gtest.h>

namespace wherry::registry {
namespace {

TEST(Challenges, Bearer) {
  auto challenges = ParseChallenges(
      R"(Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push")");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters["realm"], "https://auth.example/token");
  EXPECT_EQ(challenges[0].parameters["scope"], "repository:a/b:pull,push");
}

TEST(Challenges, SeveralInOneHeader) {
  auto challenges =
      ParseChallenges(R"(Negotiate, Basic realm="a \"quoted\" name", BEARER Realm=x, service = y)");
  ASSERT_EQ(challenges.size(), 3u);
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].parameters["realm"], "a \"quoted\" name");
  EXPECT_EQ(challenges[2].scheme, "bearer");
  EXPECT_EQ(challenges[2].parameters["realm"], "x");
}

TEST(Challenges, TokenOfAnotherSchemeDoesNotHideTheRest) {
  auto challenges = ParseChallenges(R"(Negotiate YII=, Bearer realm="https://a/t")");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[1].parameters["realm"], "https://a/t");
}

TEST(Challenges, HostileTextEnds) {
  for (std::string_view text :
       {"", "=", "\"", "Basic realm=\"", ",,,,", "Basic =\"\"\"\"", "a=b=c=\"d"}) {
    EXPECT_LT(ParseChallenges(text).size(), 10u) << text;
  }
}

}  // namespace
}  // namespace wherry::registry
