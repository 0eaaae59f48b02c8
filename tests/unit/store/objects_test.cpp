#include "store/objects.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/text.h"
#include "tests/unit/store/files.h"

namespace wherry::store {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class ObjectsTest : public testing::Test {
 protected:
  ObjectsTest() : store_(temp_.Fd()), objects_(*Objects::Open(store_.get(), ops_)) {}

  ObjectWriter Writer(uint64_t reserve_bytes = 0) {
    return ObjectWriter(objects_, store_.get(), ops_, reserve_bytes);
  }
  std::vector<Digest> All(const DigestRange& range = {}) {
    std::vector<Digest> all;
    auto told =
        objects_.ForEach(range, Objects::Strangers::kSkip, [&](const Digest& digest) -> Result<> {
          all.push_back(digest);
          return {};
        });
    EXPECT_TRUE(told);
    return all;
  }
  std::string Stored(const Digest& digest) {
    return Content(temp_ / ("obj/" + ObjectPath(digest)));
  }

  TempDir temp_;
  DiskOps ops_;
  UniqueFd store_;
  Objects objects_;
};

TEST_F(ObjectsTest, AreNamedByTheirContent) {
  ObjectWriter writer = Writer();
  auto digest = writer.Put(Bytes("hello"));
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Digest::Of("hello"));
  EXPECT_EQ(ObjectPath(*digest), Cat(digest->hex().substr(0, 1), "/", digest->hex().substr(1)));
  EXPECT_TRUE(objects_.Has(*digest, 5));
  EXPECT_FALSE(objects_.Has(*digest, 4));
  EXPECT_EQ(Stored(*digest), "hello");
  EXPECT_EQ(Lstat(temp_ / ("obj/" + ObjectPath(*digest))).st_mode, S_IFREG | 0400u);
  EXPECT_EQ(writer.added(), std::vector<Digest>{*digest});
  EXPECT_EQ(All(), std::vector<Digest>{*digest});
}

TEST_F(ObjectsTest, AreToldByRanges) {
  ObjectWriter writer = Writer();
  std::vector<Digest> put;
  for (int i = 0; i < 200; ++i)
    put.push_back(*writer.Put(Bytes(Cat("object ", i))));
  std::sort(put.begin(), put.end());
  std::string stranger = temp_ / ("obj/" + put[0].hex().substr(0, 1) + "/stranger");
  ASSERT_TRUE(Open(stranger, O_WRONLY | O_CREAT | O_EXCL, 0600));
  for (size_t at_once : {1, 7, 50, 1000}) {
    std::vector<Digest> told;
    uint32_t next = 0;
    for (const DigestRange& range : DigestRanges(put.size(), at_once)) {
      EXPECT_EQ(range.first, next);
      next = range.end;
      std::vector<Digest> part = All(range);
      EXPECT_TRUE(
          std::all_of(part.begin(), part.end(), [&](const Digest& d) { return range.Has(d); }));
      told.insert(told.end(), part.begin(), part.end());
    }
    EXPECT_EQ(next, DigestRange::kAll);
    std::sort(told.begin(), told.end());
    EXPECT_EQ(told, put) << at_once;
  }
  auto remove = [&](const Digest& digest) -> Result<> {
    TRY(objects_.Remove(digest));
    return {};
  };
  ASSERT_TRUE(objects_.ForEach({}, Objects::Strangers::kRemove, remove));
  EXPECT_TRUE(All().empty());
  EXPECT_FALSE(Exists(stranger));
}

TEST_F(ObjectsTest, WhatIsKnownIsNotWrittenAgain) {
  ObjectWriter first = Writer();
  ASSERT_TRUE(first.Put(Bytes("same")));
  ASSERT_TRUE(first.Put(Bytes("same")));
  EXPECT_EQ(first.written_bytes(), 4u);
  EXPECT_EQ(first.known_bytes(), 4u);
  ObjectWriter second = Writer();
  ASSERT_TRUE(second.Put(Bytes("same")));
  EXPECT_EQ(second.written_bytes(), 0u);
  ASSERT_TRUE(second.Begin(4));
  ASSERT_TRUE(second.Write(Bytes("same"), 0));
  EXPECT_EQ(*second.End(), Digest::Of("same"));
  EXPECT_EQ(second.discarded_bytes(), 4u);
  EXPECT_TRUE(second.added().empty());
  EXPECT_FALSE(Exists(temp_ / "part"));
}

TEST_F(ObjectsTest, StreamsWithHoles) {
  ObjectWriter writer = Writer();
  std::string content(100'000, '\0');
  content.replace(5000, 3, "abc");
  content.replace(60'000, 2, "de");
  ASSERT_TRUE(writer.Begin(content.size()));
  ASSERT_TRUE(writer.Write(Bytes("abc"), 5000));
  ASSERT_TRUE(writer.Write(Bytes("de"), 60'000));
  EXPECT_FALSE(writer.Write(Bytes("x"), 10));       // backwards
  EXPECT_FALSE(writer.Write(Bytes("xy"), 99'999));  // beyond the end
  auto digest = writer.End();
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Digest::Of(content));
  EXPECT_EQ(Stored(*digest), content);
}

TEST_F(ObjectsTest, AStreamThatIsKnownIsNeverWritten) {
  std::string content(300'000, 'a');
  content += std::string(300'000, 'b');
  std::string other = content.substr(0, 500'000) + std::string(100'000, 'c');
  std::string unlike(600'000, 'z');
  std::vector<Digest> known;
  for (const std::string& body : {unlike, content, other})
    known.push_back(*Writer().Put(Bytes(body)));
  auto stream = [&](const std::string& body, uint64_t expected_writes) {
    ObjectWriter writer(objects_, store_.get(), ops_, 0, [&](uint64_t) { return known; });
    ASSERT_TRUE(writer.Begin(body.size()));
    for (size_t at = 0; at < body.size(); at += 70'000)
      ASSERT_TRUE(writer.Write(Bytes(std::string_view(body).substr(at, 70'000)), at));
    auto digest = writer.End();
    ASSERT_TRUE(digest);
    EXPECT_EQ(*digest, Digest::Of(body));
    EXPECT_EQ(Stored(*digest), body);
    EXPECT_EQ(writer.written_bytes(), expected_writes);
    EXPECT_FALSE(Exists(temp_ / "part"));
  };
  stream(unlike, 0);
  stream(other, 0);
  // Begins like one, and turns out to be known all the same: written once, and dropped.
  stream(content, 600'000);
  std::string changed = content;
  changed[550'000] = 'x';
  stream(changed, 600'000);
  changed[0] = 'x';
  stream(changed, 600'000);
}

TEST_F(ObjectsTest, AStreamThatEndsInAHoleIsNoTwin) {
  std::string content(300'000, 'a');
  std::string holes = content.substr(0, 200'000) + std::string(100'000, '\0');
  std::vector<Digest> known = {*Writer().Put(Bytes(content))};
  ObjectWriter writer(objects_, store_.get(), ops_, 0, [&](uint64_t) { return known; });
  ASSERT_TRUE(writer.Begin(holes.size()));
  ASSERT_TRUE(writer.Write(Bytes(std::string_view(content).substr(0, 200'000)), 0));
  auto digest = writer.End();
  ASSERT_TRUE(digest);
  EXPECT_EQ(*digest, Digest::Of(holes));
  EXPECT_EQ(Stored(*digest), holes);
}

TEST_F(ObjectsTest, AnObjectCutShortIsReplaced) {
  auto digest = Writer().Put(Bytes("whole"));
  std::string path = temp_ / ("obj/" + ObjectPath(*digest));
  ASSERT_EQ(truncate(path.c_str(), 0), 0);  // as after a power cut elsewhere
  EXPECT_FALSE(objects_.Has(*digest, 5));
  ASSERT_TRUE(Writer().Put(Bytes("whole")));
  EXPECT_EQ(Stored(*digest), "whole");
}

TEST_F(ObjectsTest, GoOneByOne) {
  auto digest = Writer().Put(Bytes("content"));
  EXPECT_GT(*objects_.Remove(*digest), 0u);
  EXPECT_EQ(*objects_.Remove(*digest), 0u);
  EXPECT_TRUE(All().empty());
}

TEST_F(ObjectsTest, LeavesTheReserveAlone) {
  ObjectWriter writer = Writer(uint64_t{1} << 60);
  ASSERT_TRUE(writer.Begin(uint64_t{20} << 20));
  auto written = writer.Write(Bytes(std::string(20 << 20, 'x')), 0);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Errc::kNoSpace);
}

}  // namespace
}  // namespace wherry::store
