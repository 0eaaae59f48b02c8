#include "core/base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/base/file.h"

namespace wherry {
namespace {

// What `action` writes to standard error.
template <class Action>
std::string Captured(Action action) {
  testing::internal::CaptureStderr();
  action();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, OneLineWithTimeAndLevel) {
  std::string line = Captured([] { LogWarning("disk ", 7, " is full"); });
  EXPECT_TRUE(line.ends_with("Z warning disk 7 is full\n")) << line;
  EXPECT_EQ(line.find('T'), 10u);
}

TEST(Log, ControlCharactersCannotForgeLines) {
  std::string line = Captured([] { LogError("a\nb\x1b[31m\r\x7f\xC3\xA9"); });
  EXPECT_TRUE(line.ends_with("error a\\x0ab\\x1b[31m\\x0d\\x7f\xC3\xA9\n")) << line;
}

TEST(Log, LevelsFilter) {
  EXPECT_EQ(Captured([] { LogDebug("x"); }), "");
  SetLogLevel(LogLevel::kError);
  EXPECT_EQ(Captured([] { LogWarning("x"); }), "");
  EXPECT_NE(Captured([] { LogError("x"); }), "");
  SetLogLevel(LogLevel::kDebug);
  EXPECT_NE(Captured([] { LogDebug("x"); }), "");
  SetLogLevel(LogLevel::kInfo);
}

TEST(Log, ParseLevel) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  EXPECT_FALSE(ParseLogLevel("Error"));
  EXPECT_FALSE(ParseLogLevel(""));
}

}  // namespace
}  // namespace wherry
