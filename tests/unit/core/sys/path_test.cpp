#include "core/sys/path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::sys {
namespace {

// A tree: root/{file,dir/{inner},abs->/dir,up->../../..,loop->loop,gone->nowhere/x,out->SECRET}
// beside root: secret. Every test runs with openat2 and with the walk.
class Path : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    PretendNoOpenat2(GetParam());
    char name[] = "/tmp/wherry-path-XXXXXX";
    base_ = mkdtemp(name);
    ASSERT_TRUE(MakeDirs(base_ + "/root/dir", 0755));
    Write("/root/file", "file");
    Write("/root/dir/inner", "inner");
    Write("/secret", "secret");
    Link("/dir", "abs");
    Link("../../..", "up");
    Link("loop", "loop");
    Link("nowhere/x", "gone");
    Link(base_ + "/secret", "out");
    root_ = *OpenDir(base_ + "/root");
  }
  void TearDown() override {
    PretendNoOpenat2(false);
    (void)RemoveTree(base_);
  }

  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(base_ + path, text, 0644, Durability::kVolatile));
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), Cat(base_, "/root/", name).c_str()), 0);
  }
  std::string Read(const std::string& path) {
    auto fd = OpenInRoot(root_.get(), path, O_RDONLY);
    if (!fd)
      return Cat("errno ", fd.error().error_number());
    return *ReadAll(fd->get(), 100, path);
  }
  bool Exists(const std::string& path) { return PathExists(base_ + path); }

  std::string base_;
  UniqueFd root_;
};
INSTANTIATE_TEST_SUITE_P(Resolution, Path, testing::Bool(),
                         [](const auto& row) { return row.param ? "ByWalk" : "ByOpenat2"; });

TEST_P(Path, StaysInTheRoot) {
  EXPECT_EQ(Read("file"), "file");
  EXPECT_EQ(Read("/file"), "file");
  EXPECT_EQ(Read("//dir/.././dir//inner"), "inner");
  EXPECT_EQ(Read("abs/inner"), "inner");
  EXPECT_EQ(Read("../../../file"), "file");
  EXPECT_EQ(Read("up/file"), "file");
  EXPECT_EQ(Read("abs/../file"), "file");
  EXPECT_EQ(Read("../secret"), Cat("errno ", ENOENT));
  EXPECT_EQ(Read("up/secret"), Cat("errno ", ENOENT));
  EXPECT_EQ(Read("out"), Cat("errno ", ENOENT));
  EXPECT_EQ(Read("loop"), Cat("errno ", ELOOP));
  EXPECT_EQ(Read("gone"), Cat("errno ", ENOENT));
  EXPECT_EQ(Read("file/x"), Cat("errno ", ENOTDIR));
  EXPECT_EQ(Read("file/.."), Cat("errno ", ENOTDIR));
}

TEST_P(Path, OpensTheRootItself) {
  struct stat root{};
  ASSERT_EQ(fstat(root_.get(), &root), 0);
  for (const char* path : {"/", ".", "up", "..", "dir/.."}) {
    auto fd = OpenInRoot(root_.get(), path, O_PATH);
    ASSERT_TRUE(fd) << path;
    struct stat found{};
    ASSERT_EQ(fstat(fd->get(), &found), 0);
    EXPECT_EQ(found.st_ino, root.st_ino) << path;
  }
}

TEST_P(Path, HonoursODirectory) {
  EXPECT_TRUE(OpenInRoot(root_.get(), "abs", O_PATH | O_DIRECTORY));
  EXPECT_EQ(OpenInRoot(root_.get(), "file", O_PATH | O_DIRECTORY).error().error_number(), ENOTDIR);
}

TEST_P(Path, RefusesMagicLinks) {
  UniqueFd proc = *OpenDir("/proc");
  EXPECT_TRUE(OpenInRoot(proc.get(), "self/status", O_RDONLY));
  for (const char* path : {"self/exe", "self/root", "self/cwd", "self/fd/0", "self/root/etc"}) {
    auto fd = OpenInRoot(proc.get(), path, O_PATH);
    EXPECT_FALSE(fd) << path;
  }
}

TEST_P(Path, BeneathFollowsNothing) {
  EXPECT_TRUE(OpenBeneath(root_.get(), "dir/inner", O_RDONLY));
  EXPECT_EQ(OpenBeneath(root_.get(), "abs/inner", O_RDONLY).error().error_number(), ELOOP);
  EXPECT_EQ(OpenBeneath(root_.get(), "abs", O_PATH).error().error_number(), ELOOP);
  EXPECT_EQ(OpenBeneath(root_.get(), "/file", O_RDONLY).error().error_number(), EXDEV);
  UniqueFd top = *OpenDir("/");
  EXPECT_EQ(OpenBeneath(top.get(), "proc/version", O_RDONLY).error().error_number(), EXDEV);
}

TEST_P(Path, CreatesComponentByComponent) {
  ASSERT_TRUE(OpenOrCreateInRoot(root_.get(), "/a/b/c", CreateAs::kDirectory));
  EXPECT_TRUE(Exists("/root/a/b/c"));
  auto file = OpenOrCreateInRoot(root_.get(), "a/b/f", CreateAs::kFile);
  ASSERT_TRUE(file);
  struct stat status{};
  ASSERT_EQ(fstat(file->get(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
  EXPECT_EQ(status.st_mode & 0111, 0U);
  EXPECT_TRUE(OpenOrCreateInRoot(root_.get(), "a/b/f", CreateAs::kFile));  // it exists
  EXPECT_FALSE(OpenOrCreateInRoot(root_.get(), "file/x", CreateAs::kFile));
}

TEST_P(Path, CreatesBehindLinksInside) {
  ASSERT_TRUE(OpenOrCreateInRoot(root_.get(), "gone", CreateAs::kFile));
  EXPECT_TRUE(Exists("/root/nowhere/x"));
  ASSERT_TRUE(OpenOrCreateInRoot(root_.get(), "abs/new/deep", CreateAs::kDirectory));
  EXPECT_TRUE(Exists("/root/dir/new/deep"));
  ASSERT_TRUE(OpenOrCreateInRoot(root_.get(), "up/../../beside", CreateAs::kDirectory));
  EXPECT_TRUE(Exists("/root/beside"));
  EXPECT_FALSE(Exists("/beside"));
  ASSERT_TRUE(OpenOrCreateInRoot(root_.get(), "out", CreateAs::kFile));
  EXPECT_TRUE(Exists("/root" + base_ + "/secret"));
  EXPECT_EQ(*ReadFile(base_ + "/secret"), "secret");
  EXPECT_FALSE(OpenOrCreateInRoot(root_.get(), "loop/x", CreateAs::kFile));
}

TEST(CleanPath, IsLexical) {
  EXPECT_EQ(CleanPath("a//b/./c/"), "/a/b/c");
  EXPECT_EQ(CleanPath("/a/../../b"), "/b");
  EXPECT_EQ(CleanPath(""), "/");
  EXPECT_EQ(CleanPath("/.."), "/");
  EXPECT_EQ(CleanPath("//proc//self/"), "/proc/self");
}

}  // namespace
}  // namespace wherry::sys
