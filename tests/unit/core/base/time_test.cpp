#include "core/base/time.h"

#include <gtest/gtest.h>

#include <limits>

namespace wherry {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMoment = 1767323045 * kSecond + 6;  // 2026-01-02T03:04:05.000000006Z

TEST(Time, Clocks) {
  int64_t wall = UnixNanosNow();
  EXPECT_GT(wall, 1'500'000'000 * kSecond);
  EXPECT_GE(UnixNanosNow(), wall);
  EXPECT_GT(Uptime().count(), 0);
}

TEST(Time, FormatRfc3339) {
  EXPECT_EQ(FormatRfc3339Nano(kMoment), "2026-01-02T03:04:05.000000006Z");
  EXPECT_EQ(FormatRfc3339Nano(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(FormatRfc3339Nano(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(FormatRfc3339Nano(std::numeric_limits<int64_t>::max()),
            "2262-04-11T23:47:16.854775807Z");
  EXPECT_EQ(FormatRfc3339Nano(std::numeric_limits<int64_t>::min()),
            "1677-09-21T00:12:43.145224192Z");
  EXPECT_EQ(FormatRfc3339NanoOrZero(0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(FormatRfc3339NanoOrZero(kMoment), "2026-01-02T03:04:05.000000006Z");
}

TEST(Time, ParseRfc3339) {
  EXPECT_EQ(*ParseRfc3339("2026-01-02T03:04:05.000000006Z"), kMoment);
  EXPECT_EQ(*ParseRfc3339("2026-01-02t03:04:05.0000000069999z"), kMoment);
  EXPECT_EQ(*ParseRfc3339("2026-01-02T03:04:05Z"), kMoment - 6);
  EXPECT_EQ(*ParseRfc3339("2026-01-02T05:34:05.000000006+02:30"), kMoment);
  EXPECT_EQ(*ParseRfc3339("2026-01-01T22:04:05.000000006-05:00"), kMoment);
  EXPECT_EQ(*ParseRfc3339("2026-01-02T03:04:05.5Z"), kMoment - 6 + kSecond / 2);
  EXPECT_EQ(*ParseRfc3339("0001-01-01T00:00:00Z"), 0);
  EXPECT_EQ(*ParseRfc3339("2024-02-29T00:00:00Z"), 1709164800 * kSecond);
  EXPECT_EQ(*ParseRfc3339("2016-12-31T23:59:60Z"), *ParseRfc3339("2017-01-01T00:00:00Z"));
  EXPECT_EQ(*ParseRfc3339("1969-12-31T23:59:59.999999999Z"), -1);
}

TEST(Time, ParseRfc3339RefusesTheRest) {
  for (std::string_view bad : {"",
                               "2026",
                               "2026-01-02",
                               "2026-01-02T03:04:05",
                               "2026-01-02 03:04:05Z",
                               "2026-13-01T00:00:00Z",
                               "2026-02-29T00:00:00Z",
                               "2026-00-10T00:00:00Z",
                               "2026-01-00T00:00:00Z",
                               "2026-01-02T24:00:00Z",
                               "2026-01-02T03:60:00Z",
                               "2026-01-02T03:04:61Z",
                               "2026-01-02T03:04:05.Z",
                               "2026-01-02T03:04:05+0200",
                               "2026-01-02T03:04:05+24:00",
                               "2026-01-02T03:04:05Zx",
                               "9999-01-01T00:00:00Z",
                               "1600-01-01T00:00:00Z",
                               "0001-01-01T00:00:01Z",
                               "-026-01-02T03:04:05Z",
                               "2026-1-2T3:4:5Z",
                               "2026-01-02T03:04Z"}) {
    auto result = ParseRfc3339(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
  }
}

TEST(Time, FormatAndParseAgree) {
  for (int64_t nanos = -7'000'000'000'000'000'000; nanos < 7'000'000'000'000'000'000;
       nanos += 12'345'678'901'234'567) {
    ASSERT_EQ(*ParseRfc3339(FormatRfc3339Nano(nanos)), nanos);
  }
}

TEST(Time, ParseGoDuration) {
  EXPECT_EQ(*ParseGoDuration("1h30m"), minutes(90));
  EXPECT_EQ(*ParseGoDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseGoDuration("5s"), seconds(5));
  EXPECT_EQ(*ParseGoDuration("-2m"), minutes(-2));
  EXPECT_EQ(*ParseGoDuration("+2m"), minutes(2));
  EXPECT_EQ(*ParseGoDuration("1.5h"), minutes(90));
  EXPECT_EQ(*ParseGoDuration(".5s"), milliseconds(500));
  EXPECT_EQ(*ParseGoDuration("1.s"), seconds(1));
  EXPECT_EQ(*ParseGoDuration("3us"), nanoseconds(3000));
  EXPECT_EQ(*ParseGoDuration("3\xC2\xB5s"), nanoseconds(3000));
  EXPECT_EQ(*ParseGoDuration("3\xCE\xBCs"), nanoseconds(3000));
  EXPECT_EQ(*ParseGoDuration("7ns"), nanoseconds(7));
  EXPECT_EQ(*ParseGoDuration("0"), nanoseconds(0));
  EXPECT_EQ(*ParseGoDuration("0.333333333s"), nanoseconds(333'333'333));
  EXPECT_EQ(*ParseGoDuration("1h2m3s4ms5us6ns"),
            hours(1) + minutes(2) + seconds(3) + milliseconds(4) + nanoseconds(5006));
  EXPECT_EQ(*ParseGoDuration("2562047h"), hours(2562047));
}

TEST(Time, ParseGoDurationRefusesTheRest) {
  for (std::string_view bad :
       {"", "-", "5", "1d", "s", ".s", "1h 2m", " 1s", "1s ", "1S", "--1s", "1..5s", "2562048h",
        "9223372036854775808ns", "99999999999999999999s", "1s-1s", "00", "1m5"}) {
    EXPECT_FALSE(ParseGoDuration(bad)) << bad;
  }
}

TEST(Time, ParseTimestampAsDocker) {
  EXPECT_EQ(*ParseTimestamp("1767323045", 0), kMoment - 6);
  EXPECT_EQ(*ParseTimestamp("1767323045.000000006", 0), kMoment);
  EXPECT_EQ(*ParseTimestamp("1.5", 0), kSecond * 3 / 2);
  EXPECT_EQ(*ParseTimestamp("0", kMoment), 0);
  EXPECT_EQ(*ParseTimestamp("10m", kMoment), kMoment - 600 * kSecond);
  EXPECT_EQ(*ParseTimestamp("-10s", kMoment), kMoment + 10 * kSecond);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05.000000006Z", 0), kMoment);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04:05", 0), kMoment - 6);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03:04", 0), kMoment - 6 - 5 * kSecond);
  EXPECT_EQ(*ParseTimestamp("2026-01-02T03", 0), *ParseTimestamp("2026-01-02T03:00:00Z", 0));
  EXPECT_EQ(*ParseTimestamp("2026-01-02", 0), *ParseTimestamp("2026-01-02T00:00:00Z", 0));
  EXPECT_EQ(*ParseTimestamp("2026-01-02Z", 0), *ParseTimestamp("2026-01-02T00:00:00Z", 0));
  for (std::string_view bad :
       {"", "x", "1.2.3", "1.", "99999999999999999", "2026-01", "yesterday", "1 "}) {
    EXPECT_FALSE(ParseTimestamp(bad, 0)) << bad;
  }
}

TEST(Time, HumanDurationAsDocker) {
  EXPECT_EQ(HumanDuration(milliseconds(450)), "Less than a second");
  EXPECT_EQ(HumanDuration(seconds(-5)), "Less than a second");
  EXPECT_EQ(HumanDuration(seconds(1)), "1 second");
  EXPECT_EQ(HumanDuration(seconds(59)), "59 seconds");
  EXPECT_EQ(HumanDuration(seconds(60)), "About a minute");
  EXPECT_EQ(HumanDuration(seconds(119)), "About a minute");
  EXPECT_EQ(HumanDuration(minutes(59)), "59 minutes");
  EXPECT_EQ(HumanDuration(minutes(60)), "About an hour");
  EXPECT_EQ(HumanDuration(minutes(89)), "About an hour");
  EXPECT_EQ(HumanDuration(minutes(90)), "2 hours");
  EXPECT_EQ(HumanDuration(hours(47)), "47 hours");
  EXPECT_EQ(HumanDuration(hours(48)), "2 days");
  EXPECT_EQ(HumanDuration(hours(24 * 14)), "2 weeks");
  EXPECT_EQ(HumanDuration(hours(24 * 60)), "2 months");
  EXPECT_EQ(HumanDuration(hours(24 * 365 * 2)), "2 years");
}

}  // namespace
}  // namespace wherry
