#include "core/runtime/copy_up.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::runtime {
namespace {

class CopyUpTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "owners need root";
    ASSERT_TRUE(MakeDirs(From("dir"), 0755));
    ASSERT_TRUE(MakeDirs(To(""), 0755));
  }
  std::string From(std::string_view name) { return Cat(directory_.path(), "/from/", name); }
  std::string To(std::string_view name) { return Cat(directory_.path(), "/to/", name); }
  void Put(const std::string& path, std::string_view content, uint32_t mode = 0644) {
    ASSERT_TRUE(ReplaceFile(path, content, mode, Durability::kVolatile));
  }
  Result<> Copy() {
    UniqueFd from = TRY(OpenDir(From("")));
    UniqueFd to = TRY(OpenDir(To("")));
    return CopyUp(from.get(), to.get());
  }
  static struct stat Info(const std::string& path) {
    struct stat info{};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info;
  }

  TempDir directory_;
};

TEST_F(CopyUpTest, AllThatAFileIs) {
  Put(From("dir/file"), "content");
  ASSERT_EQ(chown(From("dir/file").c_str(), 12, 34), 0);
  ASSERT_EQ(chmod(From("dir/file").c_str(), 04751), 0);
  const timespec times[] = {{100, 5}, {200, 6}};
  ASSERT_EQ(utimensat(AT_FDCWD, From("dir/file").c_str(), times, 0), 0);
  ASSERT_EQ(chown(From("dir").c_str(), 56, 78), 0);
  ASSERT_EQ(chmod(From("dir").c_str(), 01770), 0);
  ASSERT_EQ(chmod(From("").c_str(), 0700), 0);
  auto copied = Copy();
  ASSERT_TRUE(copied) << copied.error().message();
  auto text = ReadFile(To("dir/file"));
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "content");
  struct stat file = Info(To("dir/file"));
  EXPECT_EQ(file.st_mode & 07777, 04751u);
  EXPECT_TRUE(file.st_uid == 12 && file.st_gid == 34);
  EXPECT_TRUE(file.st_mtim.tv_sec == 200 && file.st_mtim.tv_nsec == 6);
  struct stat dir = Info(To("dir"));
  EXPECT_EQ(dir.st_mode & 07777, 01770u);
  EXPECT_TRUE(dir.st_uid == 56 && dir.st_gid == 78);
  EXPECT_EQ(Info(To("")).st_mode & 07777, 0700u);
}

TEST_F(CopyUpTest, LinksStayLinks) {
  Put(From("one"), "x");
  ASSERT_EQ(link(From("one").c_str(), From("dir/two").c_str()), 0);
  ASSERT_EQ(symlink("/etc/shadow", From("out").c_str()), 0);
  ASSERT_EQ(lchown(From("out").c_str(), 1, 2), 0);
  ASSERT_TRUE(Copy());
  EXPECT_EQ(Info(To("one")).st_ino, Info(To("dir/two")).st_ino);
  EXPECT_EQ(Info(To("one")).st_nlink, 2u);
  EXPECT_TRUE(S_ISLNK(Info(To("out")).st_mode));
  EXPECT_EQ(Info(To("out")).st_uid, 1u);
}

TEST_F(CopyUpTest, NodesAndAttributes) {
  ASSERT_EQ(mkfifo(From("fifo").c_str(), 0600), 0);
  ASSERT_EQ(chmod(From("fifo").c_str(), 0620), 0);
  Put(From("file"), "x");
  bool attributes = setxattr(From("file").c_str(), "trusted.mine", "v", 1, 0) == 0;
  ASSERT_TRUE(attributes || errno == ENOTSUP);
  ASSERT_TRUE(Copy());
  EXPECT_TRUE(S_ISFIFO(Info(To("fifo")).st_mode));
  EXPECT_EQ(Info(To("fifo")).st_mode & 07777, 0620u);
  char value = 0;
  if (attributes) {
    EXPECT_EQ(getxattr(To("file").c_str(), "trusted.mine", &value, 1), 1);
    EXPECT_EQ(value, 'v');
  }
}

TEST_F(CopyUpTest, WhatIsThereIsNeverOverwritten) {
  Put(From("file"), "image");
  Put(To("file"), "user");
  EXPECT_FALSE(Copy());
  auto text = ReadFile(To("file"));
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "user");
}

TEST_F(CopyUpTest, DepthIsBounded) {
  std::string path = From("");
  for (int i = 0; i < 300; ++i)
    path += "d/";
  ASSERT_TRUE(MakeDirs(path, 0755));
  auto copied = Copy();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code(), Errc::kInvalid);
}

}  // namespace
}  // namespace wherry::runtime
