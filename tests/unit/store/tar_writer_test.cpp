#include "store/tar_writer.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "store/tar_reader.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

TEST(TarWriter, ReadsBack) {
  std::string archive =
      Cat(TarDirHeader("d/"), TarFileHeader("d/a", 5), "hello", TarPadding(5),
          TarFileHeader("empty", 0), TarPadding(0), TarFileHeader(std::string(100, 'n'), 512),
          std::string(512, 'x'), TarPadding(512), TarEnd());
  StringSource source(archive);
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, "d/");
  EXPECT_EQ(entry.type, TarType::kDirectory);
  EXPECT_EQ(entry.mode, 0755u);
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, "d/a");
  EXPECT_EQ(entry.type, TarType::kRegular);
  EXPECT_EQ(entry.size, 5u);
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.size, 0u);
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, std::string(100, 'n'));
  EXPECT_EQ(entry.size, 512u);
  EXPECT_FALSE(*reader.Next(entry));
}

TEST(TarWriter, SizesBeyondEightGibibytes) {
  for (uint64_t size : {(uint64_t{1} << 33) - 1, uint64_t{1} << 33, uint64_t{123456789012}}) {
    StringSource source(TarFileHeader("big", size));
    TarReader reader(source);
    TarEntry entry;
    auto next = reader.Next(entry);
    ASSERT_TRUE(next) << next.error().message();
    EXPECT_EQ(entry.name, "big");
    EXPECT_EQ(entry.size, size);
  }
}

}  // namespace
}  // namespace wherry::store
