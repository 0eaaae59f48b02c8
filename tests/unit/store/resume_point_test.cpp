// Going on in the middle of compressed streams.
#include <gtest/gtest.h>

#include <vector>

#include "store/decompress.h"
#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

// Takes every point that is at least `step` bytes after the last one.
class Points final : public PointSink {
 public:
  explicit Points(uint64_t step) : step_(step) {}
  bool Wants(uint64_t input) override { return input >= last_ + step_; }
  void Take(ResumePoint point) override {
    last_ = point.input;
    taken.push_back(std::move(point));
  }
  std::vector<ResumePoint> taken;

 private:
  uint64_t step_;
  uint64_t last_ = 0;
};

// Text that compresses, with parts that do not.
std::string Mixed(size_t size) {
  std::string out;
  uint32_t state = 1;
  while (out.size() < size) {
    state = state * 1664525 + 1013904223;
    if (state >> 28 == 0) {
      for (int i = 0; i < 70'000; ++i) {
        state = state * 1664525 + 1013904223;
        out.push_back(static_cast<char>(state >> 24));
      }
    } else {
      out += "line " + std::to_string(state >> 20) + " of the text\n";
    }
  }
  out.resize(size);
  return out;
}

// Goes on at each point of `stream`; returns how many there are.
size_t GoOnEverywhere(const std::string& stream, Compression compression, const std::string& plain,
                      uint64_t step, size_t read_step) {
  Points points(step);
  StringSource source(stream, read_step);
  auto all = Decompress(source, compression, {}, GzipSum::kIgnore, &points);
  EXPECT_TRUE(all);
  auto content = ReadToEnd(**all);
  EXPECT_TRUE(content && *content == plain);
  for (const ResumePoint& point : points.taken) {
    EXPECT_EQ(point.compression, compression);
    Points later(step);
    StringSource rest(stream.substr(point.input), read_step);
    auto opened = DecompressFrom(rest, point, {}, &later);
    EXPECT_TRUE(opened);
    auto end = ReadToEnd(**opened);
    EXPECT_TRUE(end) << end.error().message();
    EXPECT_TRUE(end && *end == plain.substr(point.output)) << point.input;
    // What is found after going on is as good, and at the same places of the whole.
    for (const ResumePoint& next : later.taken) {
      StringSource tail(stream.substr(next.input), read_step);
      auto again = DecompressFrom(tail, next, {});
      auto last = again ? ReadToEnd(**again) : std::unexpected(std::move(again).error());
      EXPECT_TRUE(last && *last == plain.substr(next.output)) << point.input << " " << next.input;
      break;
    }
  }
  return points.taken.size();
}

TEST(ResumePoint, Gzip) {
  std::string plain = Mixed(3'000'000);
  for (int level : {1, 6, 9})
    EXPECT_GT(GoOnEverywhere(Gzip(plain, level), Compression::kGzip, plain, 1, 1 << 20), 20u);
  EXPECT_GT(GoOnEverywhere(Gzip(plain, 6), Compression::kGzip, plain, 1, 1000), 20u);
}

TEST(ResumePoint, StoredBlocks) {
  std::string plain = Mixed(1'000'000);
  EXPECT_GT(GoOnEverywhere(Gzip(plain, 0), Compression::kGzip, plain, 1, 1 << 20), 10u);
}

TEST(ResumePoint, MembersOfGzip) {
  std::string one = Mixed(400'000);
  std::string two(300'000, 'x');
  std::string stream = Gzip(one) + Gzip(two, 0) + Gzip("") + Gzip(one, 9) + std::string(20, '\0');
  EXPECT_GT(GoOnEverywhere(stream, Compression::kGzip, one + two + one, 1, 1 << 20), 10u);
  EXPECT_GT(GoOnEverywhere(stream, Compression::kGzip, one + two + one, 1, 77), 10u);
}

TEST(ResumePoint, FramesOfZstd) {
  std::string one = Mixed(400'000);
  std::string stream = Zstd(one) + SkippableFrame("x") + Zstd("abc") + Zstd(one);
  EXPECT_GE(GoOnEverywhere(stream, Compression::kZstd, one + "abc" + one, 1, 1 << 20), 3u);
}

TEST(ResumePoint, Uncompressed) {
  std::string tar = TarBuilder().File("a", Mixed(200'000)).Done();
  EXPECT_GT(GoOnEverywhere(tar, Compression::kNone, tar, 10'000, 5000), 5u);
}

TEST(ResumePoint, StepIsKept) {
  std::string plain = Mixed(3'000'000);
  std::string stream = Gzip(plain);
  size_t most = GoOnEverywhere(stream, Compression::kGzip, plain, 100'000, 1 << 20);
  EXPECT_GT(most, 0u);
  EXPECT_LE(most, stream.size() / 100'000);
}

TEST(ResumePoint, WhatIsNoStateIsRefused) {
  StringSource source(std::string("x"));
  ResumePoint point{.compression = Compression::kGzip, .input = 1, .output = 1, .bits = 200};
  EXPECT_FALSE(DecompressFrom(source, point, {}));
  point.bits = 0;
  point.window.assign(100'000, 'x');
  EXPECT_FALSE(DecompressFrom(source, point, {}));
  point.compression = static_cast<Compression>(7);
  EXPECT_FALSE(DecompressFrom(source, point, {}));
}

TEST(ResumePoint, TrailerMustBeThere) {
  std::string plain = Mixed(300'000);
  std::string stream = Gzip(plain);
  Points points(1);
  StringSource source(stream);
  auto all = Decompress(source, Compression::kGzip, {}, GzipSum::kIgnore, &points);
  ASSERT_TRUE(all && ReadToEnd(**all) && !points.taken.empty());
  const ResumePoint& last = points.taken.back();
  StringSource rest(stream.substr(last.input, stream.size() - last.input - 3));
  auto opened = DecompressFrom(rest, last, {});
  ASSERT_TRUE(opened);
  auto end = ReadToEnd(**opened);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace wherry::store
