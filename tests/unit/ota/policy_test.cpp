#include "ota/policy.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/text.h"

namespace wherry::ota {
namespace {

constexpr int kSunday = 0;
constexpr int kSaturday = 6;

std::tm At(int day, int hour, int minute = 0) {
  std::tm local{};
  local.tm_wday = day;
  local.tm_hour = hour;
  local.tm_min = minute;
  return local;
}

bool IsOpenAt(std::string_view window, const std::tm& local) {
  Window parsed = Window::Parse(window).value();
  return IsOpen({&parsed, 1}, local);
}

TEST(WindowTest, OfADay) {
  EXPECT_FALSE(IsOpenAt("02:00-04:30", At(3, 1, 59)));
  EXPECT_TRUE(IsOpenAt("02:00-04:30", At(3, 2, 0)));
  EXPECT_TRUE(IsOpenAt("02:00-04:30", At(3, 4, 29)));
  EXPECT_FALSE(IsOpenAt("02:00-04:30", At(3, 4, 30)));
}

TEST(WindowTest, PastMidnightBelongsToTheDayItBeginsOn) {
  EXPECT_TRUE(IsOpenAt("sat 22:00-06:00", At(kSaturday, 23)));
  EXPECT_TRUE(IsOpenAt("sat 22:00-06:00", At(kSunday, 5, 59)));
  EXPECT_FALSE(IsOpenAt("sat 22:00-06:00", At(kSunday, 6)));
  EXPECT_FALSE(IsOpenAt("sat 22:00-06:00", At(kSunday, 22)));
  EXPECT_FALSE(IsOpenAt("sat 22:00-06:00", At(kSaturday, 5)));
}

TEST(WindowTest, WholeDays) {
  EXPECT_TRUE(IsOpenAt("sat,sun 00:00-24:00", At(kSunday, 0)));
  EXPECT_TRUE(IsOpenAt("sat,sun 00:00-24:00", At(kSaturday, 23, 59)));
  EXPECT_FALSE(IsOpenAt("sat,sun 00:00-24:00", At(1, 0)));
}

TEST(WindowTest, AnyOfThem) {
  std::vector<Window> windows = {Window::Parse("02:00-03:00").value(),
                                 Window::Parse("12:00-13:00").value()};
  EXPECT_TRUE(IsOpen(windows, At(2, 12, 30)));
  EXPECT_FALSE(IsOpen(windows, At(2, 11)));
  EXPECT_TRUE(IsOpen({}, At(2, 11)));
}

TEST(WindowTest, Refused) {
  for (std::string_view text :
       {"", "02:00", "2:00-4:00", "02:00-02:00", "24:00-25:00", "02:60-03:00", "24:00-02:00",
        "someday 02:00-03:00", "sat, 02:00-03:00", "02:00 - 03:00", "02:00-0x:00"})
    EXPECT_EQ(Window::Parse(text).error().code(), Errc::kInvalid) << text;
}

Result<Policy> Parse(std::string_view json) {
  JsonDocument document = JsonDocument::Parse(json, "release").value();
  JsonValue root = document.root();
  return Policy::Parse(oci::Field(root, "release")["policy"]);
}

TEST(PolicyTest, DefaultsAndMembers) {
  Policy none = Parse("{}").value();
  EXPECT_EQ(none.start, Policy::Start::kAuto);
  EXPECT_TRUE(none.windows.empty());
  Policy all =
      Parse(R"({"policy":{"start":"hold","windows":["mon 01:00-02:00"],"patience_s":60}})").value();
  EXPECT_EQ(all.start, Policy::Start::kHold);
  EXPECT_EQ(all.windows.at(0).days, 2);
  EXPECT_EQ(all.patience, std::chrono::seconds(60));
}

TEST(PolicyTest, RefusedByName) {
  EXPECT_EQ(Parse(R"({"policy":{"start":"now"}})").error().message(),
            "release: policy.start must be auto, hold or force");
  EXPECT_EQ(Parse(R"({"policy":{"windows":["never"]}})").error().message(),
            "policy.windows: \"never\" is no window ([DAY,...] HH:MM-HH:MM)");
  EXPECT_EQ(Parse(R"({"policy":{"when":1}})").error().message(),
            "release: policy.when is not known to this version of wherry");
  EXPECT_EQ(Parse(R"({"policy":{"patience_s":0}})").error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace wherry::ota
