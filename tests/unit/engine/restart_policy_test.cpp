#include "engine/restart_policy.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr RestartPolicy kNever{};
constexpr RestartPolicy kAlways{RestartMode::kAlways, 0};
constexpr RestartPolicy kUnlessStopped{RestartMode::kUnlessStopped, 0};
constexpr RestartPolicy kOnFailure{RestartMode::kOnFailure, 0};
constexpr RestartPolicy kTwice{RestartMode::kOnFailure, 2};

TEST(RestartPolicy, AfterAnEnd) {
  EXPECT_FALSE(RestartsAfter(kNever, 1, 0));
  EXPECT_TRUE(RestartsAfter(kAlways, 0, 1000));
  EXPECT_TRUE(RestartsAfter(kUnlessStopped, 0, 0));
  EXPECT_FALSE(RestartsAfter(kOnFailure, 0, 0));
  EXPECT_TRUE(RestartsAfter(kOnFailure, 137, 1000));
  EXPECT_TRUE(RestartsAfter(kTwice, 1, 1));
  EXPECT_FALSE(RestartsAfter(kTwice, 1, 2));
}

TEST(RestartPolicy, WithTheDaemon) {
  EXPECT_FALSE(StartsWithDaemon(kNever, false));
  EXPECT_TRUE(StartsWithDaemon(kAlways, true));
  EXPECT_TRUE(StartsWithDaemon(kUnlessStopped, false));
  EXPECT_FALSE(StartsWithDaemon(kUnlessStopped, true));
  EXPECT_FALSE(StartsWithDaemon(kOnFailure, true));
}

TEST(RestartPolicy, DelaysGrowAndFallBack) {
  auto delay = NextRestartDelay(seconds(0), seconds(0));
  EXPECT_EQ(delay, milliseconds(100));
  delay = NextRestartDelay(delay, seconds(1));
  EXPECT_EQ(delay, milliseconds(200));
  for (int i = 0; i < 20; ++i)
    delay = NextRestartDelay(delay, seconds(1));
  EXPECT_EQ(delay, seconds(60));
  EXPECT_EQ(NextRestartDelay(delay, seconds(10)), milliseconds(100));
}

}  // namespace
}  // namespace wherry::engine
