#include "net/registry/auth.h"

#include <gtest/gtest.h>

#include "net/registry/endpoint.h"

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
  auto challenges = ParseChallenges(R"(Negotiate, Basic realm="a \"quoted\" name", BEARER Realm=x, service = y)");
  ASSERT_EQ(challenges.size(), 3u);
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].parameters["realm"], "a \"quoted\" name");
  EXPECT_EQ(challenges[2].scheme, "bearer");
  EXPECT_EQ(challenges[2].parameters["realm"], "x");
}

TEST(Challenges, HostileTextEnds) {
  for (std::string_view text : {"", "=", "\"", "Basic realm=\"", ",,,,", "Basic =\"\"\"\"", "a=b=c=\"d"}) {
    EXPECT_LT(ParseChallenges(text).size(), 10u) << text;
  }
}

TEST(Endpoints, Loopback) {
  for (std::string_view host : {"localhost", "localhost:5000", "127.0.0.1", "127.8.9.10:1", "[::1]:5000"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (std::string_view host : {"127.0.0.1.example", "128.0.0.1", "127.0.0", "127.0.0.999", "localhost.example", "x"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(Endpoints, PlainHttpOnlyWhereListed) {
  Options options;
  options.hosts["lab:5000"].insecure = true;
  options.hosts["127.0.0.1:5001"].ca_file = "/ca.pem";
  auto secure = PlanEndpoints(options, "registry.example");
  ASSERT_EQ(secure.size(), 1u);
  EXPECT_EQ(secure[0].base_urls, std::vector<std::string>{"https://registry.example"});
  EXPECT_TRUE(secure[0].tls.verify);
  auto insecure = PlanEndpoints(options, "lab:5000");
  EXPECT_EQ(insecure[0].base_urls, (std::vector<std::string>{"https://lab:5000", "http://lab:5000"}));
  EXPECT_FALSE(insecure[0].tls.verify);
  auto with_ca = PlanEndpoints(options, "127.0.0.1:5001");
  EXPECT_EQ(with_ca[0].base_urls.size(), 1u);
  EXPECT_TRUE(with_ca[0].tls.verify);
}

TEST(Endpoints, MirrorsComeFirst) {
  Options options;
  options.hosts["docker.io"].mirrors = {"https://mirror.example/", "http://127.0.0.1:5000"};
  auto plans = PlanEndpoints(options, "docker.io");
  ASSERT_EQ(plans.size(), 3u);
  EXPECT_EQ(plans[0].base_urls[0], "https://mirror.example");
  EXPECT_TRUE(plans[0].mirror);
  EXPECT_EQ(plans[1].base_urls[0], "http://127.0.0.1:5000");
  EXPECT_EQ(plans[2].base_urls[0], "https://registry-1.docker.io");
  EXPECT_FALSE(plans[2].mirror);
}

}  // namespace
}  // namespace wherry::registry
