#include "engine/log_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string Line(std::string_view text, int64_t second = 1, std::string_view stream = "stdout") {
  JsonWriter json;
  json.Object()
      .Field("log", text)
      .Field("stream", stream)
      .Field("time", FormatRfc3339Nano(second * kSecond))
      .End();
  return Cat(json.text(), "\n");
}

class LogReaderTest : public testing::Test {
 protected:
  void Append(std::string_view text, const std::string& name = "log") {
    UniqueFd file(
        open((directory_ / name).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(WriteAll(file.get(), text, name));
  }
  // As the shim does: the oldest goes, the others move up.
  void Rotate(int files) {
    (void)unlink((directory_ / Cat("log.", files - 1)).c_str());
    for (int number = files - 2; number >= 1; --number) {
      (void)rename((directory_ / Cat("log.", number)).c_str(),
                   (directory_ / Cat("log.", number + 1)).c_str());
    }
    ASSERT_EQ(rename((directory_ / "log").c_str(), (directory_ / "log.1").c_str()), 0);
  }
  std::unique_ptr<LogReader> Open(LogQuery query = {}) {
    query.multiplexed = false;
    auto reader = LogReader::Open(directory_.path(), query);
    EXPECT_TRUE(reader);
    return reader ? std::move(*reader) : nullptr;
  }
  std::string Drain(LogReader& reader) {
    std::string out;
    while (true) {
      auto progress = reader.Read(out);
      EXPECT_TRUE(progress);
      if (!progress || *progress != LogReader::Progress::kMore)
        return out;
    }
  }
  std::string All(LogQuery query = {}) {
    auto reader = Open(query);
    return reader ? Drain(*reader) : "";
  }

  TempDir directory_;
};

TEST_F(LogReaderTest, NoFilesIsAnEmptyLogThatMayGrow) {
  auto reader = Open();
  EXPECT_EQ(Drain(*reader), "");
  Append(Line("a\n"));
  EXPECT_EQ(Drain(*reader), "a\n");
  Append(Line("b\n"));
  EXPECT_EQ(Drain(*reader), "b\n");
}

TEST_F(LogReaderTest, ReadsRotatedFilesOldestFirst) {
  Append(Line("1\n") + Line("2\n"), "log.2");
  Append(Line("3\n"), "log.1");
  Append(Line("4\n"));
  EXPECT_EQ(All(), "1\n2\n3\n4\n");
}

TEST_F(LogReaderTest, IncompleteLinesWaitForTheirEnd) {
  std::string line = Line("second\n");
  Append(Line("first\n") + line.substr(0, 10));
  auto reader = Open();
  EXPECT_EQ(Drain(*reader), "first\n");
  Append(line.substr(10));
  EXPECT_EQ(Drain(*reader), "second\n");
}

TEST_F(LogReaderTest, TornLinesAreLeftOut) {
  Append(Line("a\n") + R"({"log":"to)" + "\n" + Line("b\n") + std::string(5, '\0') + "\n" +
         Line("c\n"));
  EXPECT_EQ(All(), "a\nb\nc\n");
}

TEST_F(LogReaderTest, FollowsThroughRotation) {
  Append(Line("1\n"));
  auto reader = Open();
  EXPECT_EQ(Drain(*reader), "1\n");
  Append(Line("2\n"));
  Rotate(3);
  Append(Line("3\n"));
  Rotate(3);
  Append(Line("4\n"));
  EXPECT_EQ(Drain(*reader), "2\n3\n4\n");
}

TEST_F(LogReaderTest, GoesOnWithTheOldestWhenItsFileIsGone) {
  Append(Line("1\n"));
  auto reader = Open();
  EXPECT_EQ(Drain(*reader), "1\n");
  for (int number = 2; number <= 5; ++number) {
    Rotate(2);
    Append(Line(Cat(number, "\n")));
  }
  EXPECT_EQ(Drain(*reader), "4\n5\n");
}

TEST_F(LogReaderTest, TailCountsLinesAcrossFiles) {
  Append(Line("1\n") + Line("2\n"), "log.2");
  Append(Line("3\n") + Line("4\n"), "log.1");
  Append(Line("5\n"));
  const std::string expected[] = {
      "", "5\n", "4\n5\n", "3\n4\n5\n", "2\n3\n4\n5\n", "1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n"};
  for (int64_t tail = 0; tail < 7; ++tail)
    EXPECT_EQ(All({.tail = tail}), expected[tail]) << tail;
}

TEST_F(LogReaderTest, TailTakesSplitLinesAsOne) {
  Append(Line("x\n") + Line("long ") + Line("line\n") + Line("half "));
  EXPECT_EQ(All({.tail = 1}), "half ");
  EXPECT_EQ(All({.tail = 2}), "long line\nhalf ");
  EXPECT_EQ(All({.tail = 3}), "x\nlong line\nhalf ");
}

TEST_F(LogReaderTest, TailIgnoresALineBeingWritten) {
  Append(Line("1\n") + Line("2\n") + R"({"log":"3)");
  auto reader = Open({.tail = 1});
  EXPECT_EQ(Drain(*reader), "2\n");
  Append(R"(\n","stream":"stdout","time":"2026-01-02T03:04:05Z"})"
         "\n");
  EXPECT_EQ(Drain(*reader), "3\n");
}

TEST_F(LogReaderTest, TailOfALargeFile) {
  std::string text;
  for (int number = 0; number < 20'000; ++number)
    text += Line(Cat("line ", number, "\n"));
  Append(text);
  EXPECT_EQ(All({.tail = 2}), "line 19998\nline 19999\n");
  std::string most = All({.tail = 19'999});
  EXPECT_TRUE(most.starts_with("line 1\n"));
  EXPECT_EQ(std::count(most.begin(), most.end(), '\n'), 19'999);
}

TEST_F(LogReaderTest, SinceAndUntil) {
  for (int second = 1; second <= 5; ++second)
    Append(Line(Cat(second, "\n"), second));
  EXPECT_EQ(All({.since_nanos = 3 * kSecond}), "3\n4\n5\n");
  EXPECT_EQ(All({.until_nanos = 2 * kSecond}), "1\n2\n");
  EXPECT_EQ(All({.since_nanos = 2 * kSecond, .until_nanos = 4 * kSecond}), "2\n3\n4\n");
  EXPECT_EQ(All({.since_nanos = 4 * kSecond, .tail = 3}), "4\n5\n");
  auto reader = Open({.until_nanos = 2 * kSecond});
  std::string out;
  auto progress = reader->Read(out);
  ASSERT_TRUE(progress);
  EXPECT_EQ(*progress, LogReader::Progress::kFinished);
}

TEST_F(LogReaderTest, StreamsAndTimestamps) {
  Append(Line("out\n", 1) + Line("part ", 2) + Line("err\n", 3, "stderr") + Line("end\n", 4));
  EXPECT_EQ(All({.with_stdout = false}), "err\n");
  EXPECT_EQ(All({.with_stderr = false}), "out\npart end\n");
  EXPECT_EQ(All({.timestamps = true}),
            "1970-01-01T00:00:01.000000000Z out\n1970-01-01T00:00:02.000000000Z part "
            "1970-01-01T00:00:03.000000000Z err\nend\n");
}

TEST_F(LogReaderTest, FramesAreDockers) {
  Append(Line("hi\n") + Line("oh\n", 1, "stderr"));
  auto reader = LogReader::Open(directory_.path(), {});
  ASSERT_TRUE(reader);
  EXPECT_EQ(Drain(**reader), std::string("\1\0\0\0\0\0\0\3hi\n\2\0\0\0\0\0\0\3oh\n", 22));
}

TEST_F(LogReaderTest, LargeLogsComeInPieces) {
  std::string text;
  for (int number = 0; number < 30'000; ++number)
    text += Line("some words to fill the file\n");
  Append(text);
  auto reader = Open();
  std::string out;
  int pieces = 0;
  auto progress = Result<LogReader::Progress>(LogReader::Progress::kMore);
  size_t largest = 0;
  while (progress && *progress == LogReader::Progress::kMore) {
    size_t before = out.size();
    progress = reader->Read(out);
    largest = std::max(largest, out.size() - before);
    ++pieces;
  }
  EXPECT_EQ(out.size(), 30'000U * 28);
  EXPECT_GT(pieces, 5);
  EXPECT_LT(largest, 160U << 10);
}

}  // namespace
}  // namespace wherry::engine
