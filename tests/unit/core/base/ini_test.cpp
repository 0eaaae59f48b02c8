#include "core/base/ini.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry {
namespace {

struct Outcome {
  std::string entries;  // "section|key|value|line;" each
  std::string error;
};

Outcome Parse(std::string_view text) {
  Outcome out;
  Result<> result = ParseIni(text, "test.conf", [&](const IniEntry& entry) -> Result<> {
    EXPECT_EQ(entry.file, "test.conf");
    if (entry.value == "refuse") {
      return Fail(Errc::kNotFound, "refused");
    }
    Append(out.entries, entry.section, "|", entry.key, "|", entry.value, "|", entry.line, ";");
    return {};
  });
  out.error = result ? "" : result.error().message();
  return out;
}

TEST(Ini, SectionsKeysAndLines) {
  Outcome out = Parse(
      "top = 1\n"
      "; comment\n"
      "  # comment\n"
      "\n"
      "[daemon]\n"
      "socket = /run/x.sock \r\n"
      "\troot=/var/lib/x\n"
      "[ registry \"host:5000\" ]\n"
      "insecure = true");
  EXPECT_EQ(out.error, "");
  EXPECT_EQ(out.entries,
            "|top|1|1;daemon|socket|/run/x.sock|6;daemon|root|/var/lib/x|7;registry "
            "\"host:5000\"|insecure|true|9;");
}

TEST(Ini, CommentsOnlyStartLines) {
  EXPECT_EQ(Parse("a = b ; c # d\nu = http://x/#y").entries, "|a|b ; c # d|1;|u|http://x/#y|2;");
}

TEST(Ini, ValuesKeepEqualSignsAndColons) {
  EXPECT_EQ(Parse("a = b=c:d\nempty =\n").entries, "|a|b=c:d|1;|empty||2;");
}

TEST(Ini, NoContinuationLines) {
  EXPECT_EQ(Parse("a = 1\n  b = 2\n").entries, "|a|1|1;|b|2|2;");
}

TEST(Ini, LongSectionNamesStayWhole) {
  std::string name = Cat("registry \"", std::string(200, 'h'), "\"");
  EXPECT_EQ(Parse(Cat("[", name, "]\na=1")).entries, Cat(name, "|a|1|2;"));
}

TEST(Ini, ErrorsNameFileAndLine) {
  EXPECT_TRUE(Parse("a=1\nnonsense\n").error.starts_with("test.conf:2: "));
  EXPECT_TRUE(Parse("[open\n").error.starts_with("test.conf:1: "));
  EXPECT_TRUE(Parse("[a] trailing\n").error.starts_with("test.conf:1: "));
  EXPECT_TRUE(Parse("[a]b]\n").error.starts_with("test.conf:1: "));
  EXPECT_TRUE(Parse("\n = value\n").error.starts_with("test.conf:2: "));
  EXPECT_TRUE(Parse(std::string_view("a=1\nb=\0\n", 8)).error.starts_with("test.conf:2: "));
}

TEST(Ini, LongLinesAreRefused) {
  EXPECT_EQ(Parse(Cat("a=", std::string(1998, 'x'))).error, "");
  EXPECT_TRUE(Parse(Cat("\na=", std::string(1999, 'x'))).error.starts_with("test.conf:2: "));
  EXPECT_TRUE(Parse(Cat("; ", std::string(1'000'000, 'x'))).error.starts_with("test.conf:1: "));
}

TEST(Ini, StopsAtTheVisitorsError) {
  Outcome out = Parse("a=1\nb=refuse\nc=3\n");
  EXPECT_EQ(out.error, "refused");
  EXPECT_EQ(out.entries, "|a|1|1;");
}

TEST(Ini, EmptyTextAndByteOrderMark) {
  EXPECT_EQ(Parse("").error, "");
  EXPECT_EQ(Parse("\xEF\xBB\xBF[s]\na=1").entries, "s|a|1|2;");
}

}  // namespace
}  // namespace wherry
