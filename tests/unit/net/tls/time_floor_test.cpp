#include "net/tls/time_floor.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace wherry::tls {
namespace {

constexpr int64_t k2020 = 1'577'836'800;
constexpr int64_t kYear = 366 * 86400;  // 2020
constexpr uint32_t kFuture = MBEDTLS_X509_BADCERT_FUTURE;
constexpr uint32_t kExpired = MBEDTLS_X509_BADCERT_EXPIRED;
constexpr uint32_t kOther = MBEDTLS_X509_BADCERT_NOT_TRUSTED;

mbedtls_x509_crt Of2020() {
  mbedtls_x509_crt certificate{};
  certificate.valid_from = {2020, 1, 1, 0, 0, 0};
  certificate.valid_to = {2021, 1, 1, 0, 0, 0};
  return certificate;
}

TEST(TimeFloor, AKnownTimeJudgesBothEnds) {
  EXPECT_EQ(CheckedAt(Of2020(), {0}, kExpired | kOther), kFuture | kOther);
  EXPECT_EQ(CheckedAt(Of2020(), {k2020 - 1}, 0), kFuture);
  EXPECT_EQ(CheckedAt(Of2020(), {k2020}, kFuture | kExpired), 0U);
  EXPECT_EQ(CheckedAt(Of2020(), {k2020 + kYear}, 0), 0U);
  EXPECT_EQ(CheckedAt(Of2020(), {k2020 + kYear + 1}, 0), kExpired);
}

TEST(TimeFloor, OfATimeKnownFromBelowOnlyTheEndIsJudged) {
  EXPECT_EQ(CheckedAt(Of2020(), {0, true}, kFuture | kOther), kOther);
  EXPECT_EQ(CheckedAt(Of2020(), {k2020 + kYear + 1, true}, 0), kExpired);
}

TEST(TimeFloor, OnlyAClockThatIsBehindIsDoubted) {
  Moment now = JudgedAt();
  EXPECT_FALSE(now.at_least) << "this machine's clock is behind the version's own time";
  if (ClockIsKept())
    GTEST_SKIP() << "a time server keeps this machine's clock: the floor does not count";
  // The floor is the process's: one of its own.
  auto raised = [&] {
    RaiseTimeFloor(now.unix_seconds + kYear);
    RaiseTimeFloor(k2020);  // no way back
    Moment judged = JudgedAt();
    _exit(judged.at_least && judged.unix_seconds == now.unix_seconds + kYear ? 0 : 1);
  };
  EXPECT_EXIT(raised(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace wherry::tls
