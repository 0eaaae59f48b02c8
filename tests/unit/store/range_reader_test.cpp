#include "store/range_reader.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string Shown(const std::vector<ByteRange>& ranges) {
  std::string text;
  for (const ByteRange& range : ranges)
    Append(text, range.begin, "-", range.end, " ");
  return text;
}

TEST(Coalesce, SmallGapsAreFilled) {
  EXPECT_EQ(Shown(Coalesce({})), "");
  std::vector<ByteRange> close = {{0, 10}, {10, 20}, {1000, 1100}};
  EXPECT_EQ(Shown(Coalesce(close)), "0-1100 ");
  std::vector<ByteRange> apart = {{0, 10}, {100'000, 100'010}};
  EXPECT_EQ(Shown(Coalesce(apart)), "0-10 100000-100010 ");
}

TEST(Coalesce, LargerGapsOnlyUpToATenthOfWhatIsWanted) {
  std::vector<ByteRange> wanted = {{0, 100'000}, {130'000, 400'000}, {410'000, 500'000}};
  EXPECT_EQ(Shown(Coalesce(wanted)), "0-500000 ");
  wanted = {{0, 10'000}, {12'000, 20'000}, {50'000, 60'000}};
  EXPECT_EQ(Shown(Coalesce(wanted)), "0-20000 50000-60000 ");
  wanted = {{0, 10'000'000}, {10'070'000, 20'000'000}};
  EXPECT_EQ(Shown(Coalesce(wanted)), "0-10000000 10070000-20000000 ");
}

class FakeRanges final : public BlobRanges {
 public:
  explicit FakeRanges(std::string blob) : blob_(std::move(blob)) {}
  Result<std::unique_ptr<ByteSource>> Open(uint64_t offset, uint64_t size) override {
    Append(asked_, offset, "+", size, " ");
    return std::make_unique<StringSource>(
        blob_.substr(static_cast<size_t>(offset), static_cast<size_t>(size + more_)), 7);
  }
  void Expect(uint64_t) override {}

  std::string blob_;
  std::string asked_;
  uint64_t more_ = 0;
};

class RangeReaderTest : public testing::Test {
 protected:
  std::string Get(uint64_t begin, uint64_t end) {
    auto sought = reader_.Seek({begin, end});
    if (!sought)
      return std::string(ErrcName(sought.error().code()));
    auto text = ReadToEnd(reader_);
    return text ? *text : std::string(ErrcName(text.error().code()));
  }
  FakeRanges ranges_{"abcdefghijklmnopqrstuvwxyz"};
  RangeReader reader_{ranges_};
};

TEST_F(RangeReaderTest, OneRequestServesWhatItCovers) {
  reader_.Plan({{2, 10}, {15, 20}});
  EXPECT_EQ(Get(2, 4), "cd");
  EXPECT_EQ(Get(6, 10), "ghij");
  EXPECT_EQ(Get(15, 20), "pqrst");
  EXPECT_EQ(ranges_.asked_, "2+8 15+5 ");
}

TEST_F(RangeReaderTest, OtherOrdersAndOtherPlacesWorkToo) {
  reader_.Plan({{2, 10}});
  EXPECT_EQ(Get(6, 8), "gh");
  EXPECT_EQ(Get(2, 4), "cd");
  EXPECT_EQ(Get(2, 5), "cde");
  EXPECT_EQ(Get(8, 12), "ijkl");
  EXPECT_EQ(Get(20, 26), "uvwxyz");
  EXPECT_EQ(ranges_.asked_, "6+2 2+8 2+8 8+4 20+6 ");
}

TEST_F(RangeReaderTest, PartsThatAreTooShortOrTooLong) {
  EXPECT_EQ(Get(24, 30), "corrupt");
  ranges_.more_ = 1;
  EXPECT_EQ(Get(3, 6), "corrupt");
}

}  // namespace
}  // namespace wherry::store
