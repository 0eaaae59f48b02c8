#include "net/registry/retry.h"

#include <gtest/gtest.h>

#include "core/base/time.h"

namespace wherry::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Error Passing() {
  return Error(Errc::kUnavailable, "lost");
}

TEST(Backoff, DoublesUpToALimit) {
  EXPECT_EQ(BackoffPause(0, 0), milliseconds(250));
  EXPECT_EQ(BackoffPause(3, 0), milliseconds(2000));
  EXPECT_EQ(BackoffPause(6, 0), milliseconds(15'000));
  EXPECT_EQ(BackoffPause(1'000'000, 0), milliseconds(15'000));
  EXPECT_GT(BackoffPause(0, 255), BackoffPause(0, 0));
  EXPECT_LT(BackoffPause(0, 255), milliseconds(313));
}

TEST(Retry, GivesTheErrorBackWhenAttemptsAreUsedUp) {
  Retry retry(1, nullptr);
  EXPECT_TRUE(retry.Pause(Passing()));
  auto end = retry.Pause(Passing());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().message(), "lost");
  retry.Reset();
  EXPECT_TRUE(retry.Pause(Passing()));
}

TEST(Retry, OnlyForWhatPasses) {
  Retry retry(5, nullptr);
  for (Errc code :
       {Errc::kNotFound, Errc::kUnauthorized, Errc::kDenied, Errc::kCorrupt, Errc::kCancelled}) {
    EXPECT_EQ(retry.Pause(Error(code, "x")).error().code(), code);
  }
}

TEST(Retry, ObeysTheServerWithinReason) {
  Retry retry(5, nullptr);
  auto before = Uptime();
  EXPECT_TRUE(retry.Pause(Passing(), seconds(1)));
  EXPECT_GE(Uptime() - before, seconds(1));
  EXPECT_FALSE(retry.Pause(Passing(), seconds(3600))) << "the user gets the answer instead";
}

TEST(Retry, CancelledPauseEnds) {
  std::atomic<bool> cancelled = true;
  Retry retry(5, &cancelled);
  auto before = Uptime();
  EXPECT_EQ(retry.Pause(Passing(), seconds(30)).error().code(), Errc::kCancelled);
  EXPECT_LT(Uptime() - before, seconds(1));
}

}  // namespace
}  // namespace wherry::registry
