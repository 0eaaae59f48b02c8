#include "ota/record.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::ota {
namespace {

constexpr size_t kCopy = 4096;

TEST(RecordTest, NewestCounts) {
  TempDir dir;
  {
    RecordFile record = RecordFile::Open(dir / "record").value();
    EXPECT_EQ(record.payload(), "");
    EXPECT_EQ(record.number(), 0U);
    for (int i = 1; i <= 5; ++i)
      ASSERT_TRUE(record.Store(Cat("state ", i)));
    EXPECT_EQ(record.number(), 5U);
  }
  RecordFile record = RecordFile::Open(dir / "record").value();
  EXPECT_EQ(record.payload(), "state 5");
  EXPECT_EQ(record.number(), 5U);
  ASSERT_TRUE(record.Store("state 6"));
  EXPECT_EQ(RecordFile::Open(dir / "record")->payload(), "state 6");
}

// Any damage to the newer copy gives the older one back.
TEST(RecordTest, EveryDamagedByteIsFound) {
  TempDir dir;
  std::string path = dir / "record";
  {
    RecordFile record = RecordFile::Open(path).value();
    ASSERT_TRUE(record.Store("older"));
    ASSERT_TRUE(record.Store("newer"));
  }
  std::string good = ReadFile(path).value();
  ASSERT_EQ(good.size(), 2 * kCopy);
  size_t used = 8 + 8 + 4 + 5 + 32;
  for (size_t i = 0; i < used; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);  // number 2 is in the first copy
    ASSERT_TRUE(ReplaceFile(path, bad, 0600, Durability::kVolatile));
    Result<RecordFile> record = RecordFile::Open(path);
    ASSERT_TRUE(record) << i;
    EXPECT_EQ(record->payload(), "older") << i;
  }
}

TEST(RecordTest, BothDamaged) {
  TempDir dir;
  std::string path = dir / "record";
  for (std::string_view content :
       {std::string_view(""), std::string_view("short"), std::string_view("wherryR1")}) {
    ASSERT_TRUE(ReplaceFile(path, content, 0600, Durability::kVolatile));
    Result<RecordFile> record = RecordFile::Open(path);
    ASSERT_FALSE(record);
    EXPECT_EQ(record.error().code(), Errc::kCorrupt);
  }
  ASSERT_TRUE(RecordFile(path).Store("new"));
  EXPECT_EQ(RecordFile::Open(path)->payload(), "new");
}

TEST(RecordTest, LongestAndTooLong) {
  TempDir dir;
  RecordFile record = RecordFile::Open(dir / "record").value();
  std::string longest(RecordFile::kMaxPayload, 'x');
  ASSERT_TRUE(record.Store(longest));
  EXPECT_EQ(RecordFile::Open(dir / "record")->payload(), longest);
  EXPECT_FALSE(record.Store(longest + "x"));
  EXPECT_EQ(RecordFile::Open(dir / "record")->payload(), longest);
}

TEST(RecordTest, TooLargeAFile) {
  TempDir dir;
  ASSERT_TRUE(
      ReplaceFile(dir / "record", std::string(3 * kCopy, 'x'), 0600, Durability::kVolatile));
  EXPECT_FALSE(RecordFile::Open(dir / "record"));
}

}  // namespace
}  // namespace wherry::ota
