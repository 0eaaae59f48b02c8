#include "store/objects.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/temp_dir.h"

namespace wherry::store {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class ObjectsTest : public testing::Test {
 protected:
  ObjectsTest() : store_(temp_.Fd()), objects_(*Objects::Open(store_.get())) {}

  ObjectStage Stage(ObjectStage::Options options = {}) {
    std::string name = Cat("txn", ++stages_);
    mkdir((temp_ / name).c_str(), 0700);
    return ObjectStage(objects_, *OpenDir(temp_ / name), options);
  }
  std::string Stored(const Digest& digest) {
    return Content(temp_ / ("obj/" + ObjectPath(digest)));
  }

  TempDir temp_;
  UniqueFd store_;
  Objects objects_;
  int stages_ = 0;
};

TEST_F(ObjectsTest, AreNamedByTheirContentAndAppearWhenPublished) {
  ObjectStage stage = Stage();
  auto digest = stage.Put(Bytes("hello"));
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Digest::Of("hello"));
  EXPECT_EQ(ObjectPath(*digest), Cat(digest->hex().substr(0, 2), "/", digest->hex().substr(2)));
  EXPECT_FALSE(objects_.Has(*digest, 5));
  ASSERT_TRUE(stage.Publish(DiskOps::Real()));
  EXPECT_TRUE(objects_.Has(*digest, 5));
  EXPECT_FALSE(objects_.Has(*digest, 4));
  EXPECT_EQ(Stored(*digest), "hello");
  EXPECT_EQ(Lstat(temp_ / ("obj/" + ObjectPath(*digest))).st_mode, S_IFREG | 0400u);
  ASSERT_TRUE(stage.Publish(DiskOps::Real()));  // nothing is left to do
}

TEST_F(ObjectsTest, WhatIsKnownIsNotWrittenAgain) {
  ObjectStage first = Stage();
  ASSERT_TRUE(first.Put(Bytes("same")));
  ASSERT_TRUE(first.Put(Bytes("same")));  // in the stage
  EXPECT_EQ(first.written_bytes(), 4u);
  EXPECT_EQ(first.known_bytes(), 4u);
  ASSERT_TRUE(first.Publish(DiskOps::Real()));
  ObjectStage second = Stage();
  ASSERT_TRUE(second.Put(Bytes("same")));  // in the store
  EXPECT_EQ(second.written_bytes(), 0u);
  ASSERT_TRUE(second.Begin(4));
  ASSERT_TRUE(second.Write(Bytes("same"), 0));
  EXPECT_EQ(*second.End(), Digest::Of("same"));
  EXPECT_EQ(second.discarded_bytes(), 4u);
  EXPECT_TRUE(ListDir(temp_ / "txn2")->empty());
}

TEST_F(ObjectsTest, StreamsWithHoles) {
  ObjectStage stage = Stage();
  std::string content(100'000, '\0');
  content.replace(5000, 3, "abc");
  content.replace(60'000, 2, "de");
  ASSERT_TRUE(stage.Begin(content.size()));
  ASSERT_TRUE(stage.Write(Bytes("abc"), 5000));
  ASSERT_TRUE(stage.Write(Bytes("de"), 60'000));
  EXPECT_FALSE(stage.Write(Bytes("x"), 10));       // backwards
  EXPECT_FALSE(stage.Write(Bytes("xy"), 99'999));  // beyond the end
  auto digest = stage.End();
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Digest::Of(content));
  ASSERT_TRUE(stage.Publish(DiskOps::Real()));
  EXPECT_EQ(Stored(*digest), content);
}

TEST_F(ObjectsTest, TwoStagesOfTheSameContentAreNoConflict) {
  ObjectStage one = Stage();
  ObjectStage two = Stage();
  auto digest = one.Put(Bytes("both"));
  ASSERT_TRUE(two.Put(Bytes("both")));
  ASSERT_TRUE(one.Publish(DiskOps::Real()));
  ASSERT_TRUE(two.Publish(DiskOps::Real()));
  EXPECT_EQ(Stored(*digest), "both");
}

TEST_F(ObjectsTest, AnObjectCutShortIsReplaced) {
  ObjectStage stage = Stage();
  auto digest = stage.Put(Bytes("whole"));
  ASSERT_TRUE(stage.Publish(DiskOps::Real()));
  std::string path = temp_ / ("obj/" + ObjectPath(*digest));
  ASSERT_EQ(truncate(path.c_str(), 0), 0);  // as after a power cut elsewhere
  EXPECT_FALSE(objects_.Has(*digest, 5));
  ObjectStage again = Stage();
  ASSERT_TRUE(again.Put(Bytes("whole")));
  ASSERT_TRUE(again.Publish(DiskOps::Real()));
  EXPECT_EQ(Stored(*digest), "whole");
}

TEST_F(ObjectsTest, LeavesTheReserveAlone) {
  ObjectStage stage = Stage({.reserve_bytes = uint64_t{1} << 60});
  ASSERT_TRUE(stage.Begin(uint64_t{20} << 20));
  auto written = stage.Write(Bytes(std::string(20 << 20, 'x')), 0);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Errc::kNoSpace);
}

}  // namespace
}  // namespace wherry::store
