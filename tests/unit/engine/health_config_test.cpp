#include "engine/health_config.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::engine {
namespace {

using std::chrono::seconds;

Result<std::optional<HealthCheck>> Parse(const char* health) {
  auto config = JsonDocument::Parse(Cat("{\"Healthcheck\":", health, "}"), "Config");
  return ParseHealthcheck(config->root());
}

std::string Merge(const char* own, const char* image) {
  return MergeHealthcheck(JsonDocument::Parse(own, "own")->root(), image);
}

TEST(ParseHealthcheck, FillsInTheDefaults) {
  auto parsed = Parse(R"({"Test":["CMD-SHELL","true || false"]})");
  ASSERT_TRUE(parsed && *parsed);
  const HealthCheck& check = **parsed;
  EXPECT_EQ(check.args, (std::vector<std::string>{"/bin/sh", "-c", "true || false"}));
  EXPECT_EQ(check.interval, seconds(30));
  EXPECT_EQ(check.timeout, seconds(30));
  EXPECT_EQ(check.start_period, seconds(0));
  EXPECT_EQ(check.start_interval, seconds(5));
  EXPECT_EQ(check.retries, 3);
}

TEST(ParseHealthcheck, NothingIsNoCheck) {
  for (const char* none : {"null", "{}", R"({"Test":[]})", R"({"Test":["NONE"]})"})
    EXPECT_FALSE(Parse(none).value()) << none;
}

TEST(ParseHealthcheck, RefusesWhatMakesNoSense) {
  for (const char* bad :
       {R"({"Test":["SOMETIMES","x"]})", R"({"Test":["CMD"]})", R"({"Test":["CMD-SHELL","a","b"]})",
        R"({"Test":["CMD","x"],"Interval":999999})", R"({"Test":["CMD","x"],"Timeout":-1})",
        R"({"Test":["CMD","x"],"Retries":-1})"})
    EXPECT_EQ(Parse(bad).error().code(), Errc::kInvalid) << bad;
}

TEST(MergeHealthcheck, TakesTheRestFromTheImage) {
  constexpr const char* kImage = R"({"Test":["CMD","a"],"Interval":5,"Retries":7})";
  EXPECT_EQ(Merge("{}", ""), "");
  EXPECT_EQ(Merge("{}", kImage), kImage);
  EXPECT_EQ(Merge(R"({"Retries":2})", kImage), R"({"Test":["CMD","a"],"Interval":5,"Retries":2})");
  EXPECT_EQ(Merge(R"({"Test":["NONE"]})", kImage), R"({"Test":["NONE"],"Interval":5,"Retries":7})");
}

}  // namespace
}  // namespace wherry::engine
