#include "engine/log_entry.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

constexpr char kTime[] = "2026-01-02T03:04:05.000000006Z";

TEST(ParseLogEntry, ReadsWhatTheShimWrites) {
  LogEntry entry;
  ASSERT_TRUE(ParseLogEntry(
      R"({"log":"a \"b\" \\ \t\u001b[0m\n","stream":"stderr","time":"2026-01-02T03:04:05.000000006Z"})",
      entry));
  EXPECT_EQ(entry.text, "a \"b\" \\ \t\x1b[0m\n");
  EXPECT_TRUE(entry.from_stderr);
  EXPECT_TRUE(entry.ends_line());
  EXPECT_EQ(entry.time, kTime);
}

TEST(ParseLogEntry, DecodesUnicode) {
  LogEntry entry;
  ASSERT_TRUE(
      ParseLogEntry(R"({"log":"\u00e9\u20ac\ud83d\ude00","stream":"stdout","time":"t"})", entry));
  EXPECT_EQ(entry.text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_FALSE(entry.ends_line());
}

TEST(ParseLogEntry, SkipsOtherMembers) {
  LogEntry entry;
  EXPECT_TRUE(ParseLogEntry(
      R"({ "attrs":{"a":"}","b":[1,{"c":2}]}, "n":1, "log":"x", "stream":"stdout", "time":"t" })",
      entry));
  EXPECT_EQ(entry.text, "x");
}

TEST(ParseLogEntry, RefusesTornLines) {
  LogEntry entry;
  std::string whole = R"({"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05Z"})";
  ASSERT_TRUE(ParseLogEntry(whole, entry));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ParseLogEntry(whole.substr(0, size), entry)) << size;
  for (std::string_view text : {"{}", "x", R"({"log":"a"}x)", R"({"log":"\q","time":"t"})",
                                R"({"log":"\u12","time":"t"})"}) {
    EXPECT_FALSE(ParseLogEntry(text, entry)) << text;
  }
}

}  // namespace
}  // namespace wherry::engine
