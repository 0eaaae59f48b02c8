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

TEST(TimeFloor, OnlyAClockThatIsBehindAndNotKeptIsDoubted) {
  struct Row {
    int64_t clock;
    bool kept;
    int64_t floor;
    Moment judged;
  };
  for (const Row& row :
       {Row{k2020, false, k2020, {k2020, false}}, Row{k2020 + 1, false, k2020, {k2020 + 1, false}},
        Row{1000, false, k2020, {k2020, true}}, Row{1000, true, k2020, {1000, false}}}) {
    Moment judged = MomentOf(row.clock, row.kept, row.floor);
    EXPECT_EQ(judged.unix_seconds, row.judged.unix_seconds) << row.clock << " " << row.kept;
    EXPECT_EQ(judged.at_least, row.judged.at_least) << row.clock << " " << row.kept;
  }
}

// The floor is the process's: one of its own.
TEST(TimeFloor, OnlyRises) {
  auto raised = [] {
    constexpr int64_t kFar = 4'000'000'000;
    RaiseTimeFloor(kFar);
    RaiseTimeFloor(k2020);
    bool doubted = JudgedAt().at_least != ClockIsKept();
    _exit(TimeFloor() == kFar && doubted ? 0 : 1);
  };
  EXPECT_FALSE(JudgedAt().at_least) << "this machine's clock is behind the version's own time";
  EXPECT_EXIT(raised(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace wherry::tls
