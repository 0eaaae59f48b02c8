#include "board/slot_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::board {
namespace {

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min({out.size(), text_.size() - at_, size_t{70001}});
    memcpy(out.data(), text_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::string text_;
  size_t at_ = 0;
};

class SlotWriter : public testing::Test {
 protected:
  static constexpr size_t kSlot = 2 << 20;

  SlotWriter() {
    for (size_t i = 0; image_.size() < 1'234'567; ++i)
      image_ += Digest::Of(std::to_string(i)).hex();
    EXPECT_TRUE(ReplaceFile(slot(), std::string(kSlot, 'o'), 0600, Durability::kVolatile));
  }

  std::string slot() const { return dir_ / "slot"; }
  std::string Content() const { return ReadFile(slot(), kSlot).value(); }
  SlotImage Image() const { return {image_.size(), Digest::Of(image_)}; }
  Result<> Write(std::string bytes, const SlotImage& image) {
    TextSource source(std::move(bytes));
    return WriteSlot(slot(), source, image, cancelled_);
  }

  TempDir dir_;
  std::string image_;
  std::atomic<bool> cancelled_ = false;
};

TEST_F(SlotWriter, WritesAndLeavesTheRestAlone) {
  EXPECT_FALSE(SlotHolds(slot(), Image(), cancelled_).value());
  ASSERT_TRUE(Write(image_, Image()));
  EXPECT_EQ(Content(), image_ + std::string(kSlot - image_.size(), 'o'));
  EXPECT_TRUE(SlotHolds(slot(), Image(), cancelled_).value());
}

TEST_F(SlotWriter, EqualBlocksAreNotWritten) {
  ASSERT_TRUE(Write(image_, Image()));
  struct stat before{};
  ASSERT_EQ(stat(slot().c_str(), &before), 0);
  usleep(20000);
  ASSERT_TRUE(Write(image_, Image()));
  struct stat after{};
  ASSERT_EQ(stat(slot().c_str(), &after), 0);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  image_[1'000'000] = '!';
  ASSERT_TRUE(Write(image_, Image()));
  EXPECT_EQ(Content().substr(0, image_.size()), image_);
}

TEST_F(SlotWriter, WhatIsNotTheImageIsRefused) {
  std::string other = image_;
  other[image_.size() / 2] = '!';
  EXPECT_EQ(Write(other, Image()).error().code(), Errc::kCorrupt);
  EXPECT_EQ(Write(image_ + "x", Image()).error().code(), Errc::kCorrupt);
  EXPECT_EQ(Write(image_.substr(1), Image()).error().code(), Errc::kCorrupt);
  EXPECT_EQ(Write("", Image()).error().code(), Errc::kCorrupt);
  EXPECT_EQ(Write(image_, {kSlot + 1, Digest()}).error().code(), Errc::kNoSpace);
  cancelled_ = true;
  EXPECT_EQ(Write(image_, Image()).error().code(), Errc::kCancelled);
}

TEST_F(SlotWriter, TheRootFileSystemIsRefused) {
  struct stat root{};
  ASSERT_EQ(stat("/", &root), 0);
  std::string node = dir_ / "root";
  if (mknod(node.c_str(), S_IFBLK | 0600, root.st_dev) != 0)
    GTEST_SKIP() << "device nodes take CAP_MKNOD: run as root";
  TextSource source(image_);
  EXPECT_EQ(WriteSlot(node, source, Image(), cancelled_).error().code(), Errc::kBusy);
}

}  // namespace
}  // namespace wherry::board
