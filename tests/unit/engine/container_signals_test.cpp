#include "engine/container_signals.h"

#include <gtest/gtest.h>

#include <csignal>

namespace wherry::engine {
namespace {

TEST(ParseSignal, TakesNamesAndNumbers) {
  struct Row {
    std::string_view text;
    int number;
  };
  constexpr Row kRows[] = {{"SIGTERM", SIGTERM},   {"term", SIGTERM},  {"9", SIGKILL},
                           {"KILL", SIGKILL},      {"SIGHUP", SIGHUP}, {"RTMIN", 34},
                           {"SIGRTMIN+3", 37},     {"RTMAX-1", 63},    {"SIGRTMAX", 64},
                           {"SIGWINCH", SIGWINCH}, {"64", 64}};
  for (const Row& row : kRows) {
    auto number = ParseSignal(row.text);
    ASSERT_TRUE(number) << row.text;
    EXPECT_EQ(*number, row.number) << row.text;
  }
}

TEST(ParseSignal, RefusesWhatIsNone) {
  for (std::string_view text :
       {"", "0", "65", "-9", "SIGFOO", "SIG", "RTMIN+31", "RTMIN-1", "RTMAX+1", "9x", " 9"}) {
    auto number = ParseSignal(text);
    ASSERT_FALSE(number) << text;
    EXPECT_EQ(number.error().code(), Errc::kInvalid);
  }
}

TEST(SignalName, IsTheLongName) {
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(40), "SIG40");
}

}  // namespace
}  // namespace wherry::engine
