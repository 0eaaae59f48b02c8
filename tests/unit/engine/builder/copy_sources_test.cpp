#include "engine/builder/copy_sources.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

class CopyTest : public testing::Test {
 protected:
  CopyTest() {
    EXPECT_TRUE(MakeDirs(dir_ / "from", 0755));
    EXPECT_TRUE(MakeDirs(dir_ / "to", 0755));
    from_ = std::move(*OpenDir(dir_ / "from"));
    to_ = std::move(*OpenDir(dir_ / "to"));
  }

  void Write(const std::string& path, const std::string& text = "x") {
    std::string whole = dir_ / path;
    ASSERT_TRUE(MakeDirs(SplitPath(whole).dir, 0755));
    UniqueFd file = std::move(*Open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    ASSERT_TRUE(WriteAll(file.get(), text, path));
  }
  Result<CopySources> Find(std::vector<std::string> paths) {
    build::Sources sources;
    sources.paths = std::move(paths);
    return CopySources::Find(from_.get(), sources, {});
  }
  std::string Hash(std::vector<std::string> paths) {
    auto found = Find(std::move(paths));
    return found ? found->Text().value_or("") : found.error().message();
  }
  Result<> Copy(std::vector<std::string> paths, const std::string& to, bool directory = false) {
    auto found = TRY(Find(std::move(paths)));
    CopyTarget target;
    target.root = to_.get();
    target.path = to;
    target.directory = directory;
    return found.CopyTo(target);
  }
  std::string Text(const std::string& path) {
    return ReadFile(dir_ / Cat("to/", path)).value_or("(none)");
  }

  TempDir dir_;
  UniqueFd from_;
  UniqueFd to_;
};

TEST_F(CopyTest, FilesAndDirectories) {
  Write("from/a", "A");
  Write("from/d/b", "B");
  ASSERT_TRUE(Copy({"a"}, "/x/y"));
  ASSERT_TRUE(Copy({"a"}, "/dir", true));
  ASSERT_TRUE(Copy({"d"}, "/dir"));
  EXPECT_EQ(Text("x/y"), "A");
  EXPECT_EQ(Text("dir/a"), "A");
  EXPECT_EQ(Text("dir/b"), "B");
  EXPECT_FALSE(Copy({"a", "d/b"}, "/several"));
  ASSERT_TRUE(Copy({"a", "d/b"}, "/several", true));
  EXPECT_EQ(Text("several/b"), "B");
}

TEST_F(CopyTest, Wildcards) {
  for (const char* path : {"from/a.c", "from/b.c", "from/c.h", "from/d1/x", "from/d2/x"})
    Write(path, path);
  ASSERT_TRUE(Copy({"*.c"}, "/c", true));
  EXPECT_EQ(Text("c/b.c"), "from/b.c");
  EXPECT_EQ(Text("c/c.h"), "(none)");
  ASSERT_TRUE(Copy({"d?/x"}, "/x", true));
  EXPECT_EQ(Text("x/x"), "from/d2/x");
  EXPECT_FALSE(Find({"*.none"}));
  EXPECT_FALSE(Find({"[a"}));
}

TEST_F(CopyTest, NothingLeadsOut) {
  Write("outside");
  ASSERT_EQ(symlink("../outside", (dir_ / "from/link").c_str()), 0);
  EXPECT_FALSE(Find({"../outside"}));
  EXPECT_FALSE(Find({"a/../../outside"}));
  EXPECT_FALSE(Find({"link"}));
  // A link in the target is one inside of it.
  Write("from/a", "A");
  ASSERT_EQ(symlink(dir_.path().c_str(), (dir_ / "to/way").c_str()), 0);
  ASSERT_TRUE(Copy({"a"}, "/way/escaped"));
  EXPECT_FALSE(PathExists(dir_ / "escaped"));
  EXPECT_EQ(Text(Cat(dir_.path().substr(1), "/escaped")), "A");
}

TEST_F(CopyTest, LinksInDirectoriesStayLinks) {
  Write("from/d/file");
  ASSERT_EQ(symlink("/etc/passwd", (dir_ / "from/d/link").c_str()), 0);
  ASSERT_EQ(link((dir_ / "from/d/file").c_str(), (dir_ / "from/d/hard").c_str()), 0);
  ASSERT_TRUE(Copy({"d"}, "/d"));
  char target[100];
  EXPECT_EQ(readlink((dir_ / "to/d/link").c_str(), target, sizeof target), 11);
  struct stat info{};
  ASSERT_EQ(stat((dir_ / "to/d/hard").c_str(), &info), 0);
  EXPECT_EQ(info.st_nlink, 2u);
}

TEST_F(CopyTest, HolesStayHoles) {
  Write("from/holes");
  ASSERT_EQ(truncate((dir_ / "from/holes").c_str(), off_t{1} << 30), 0);
  ASSERT_TRUE(Copy({"holes"}, "/holes"));
  struct stat info{};
  ASSERT_EQ(stat((dir_ / "to/holes").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, off_t{1} << 30);
  EXPECT_LT(info.st_blocks, 1000);
}

TEST_F(CopyTest, TheHashKnowsNamesModesAndContents) {
  Write("from/d/a", "1");
  std::string first = Hash({"d"});
  EXPECT_TRUE(first.starts_with("dir:"));
  EXPECT_EQ(first, Hash({"d"}));
  struct timespec times[] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_ / "from/d/a").c_str(), times, 0), 0);
  EXPECT_EQ(first, Hash({"d"}));  // but not times
  ASSERT_EQ(chmod((dir_ / "from/d/a").c_str(), 0600), 0);
  std::string mode = Hash({"d"});
  EXPECT_NE(first, mode);
  Write("from/d/a", "2");
  EXPECT_NE(mode, Hash({"d"}));
  Write("from/d/b");
  EXPECT_NE(Hash({"d/a"}), Hash({"d/b"}));
  EXPECT_TRUE(Hash({"d/a", "d/b"}).starts_with("multi:"));
}

TEST_F(CopyTest, Owners) {
  Write("to/etc/passwd", "me:x:12:34::/:/bin/sh\n");
  Write("to/etc/group", "me:x:56:\nus:x:78:\n");
  using Owner = std::pair<uint32_t, uint32_t>;
  EXPECT_EQ(*ResolveOwner("me", to_.get()), Owner(12, 56));
  EXPECT_EQ(*ResolveOwner("me:us", to_.get()), Owner(12, 78));
  EXPECT_EQ(*ResolveOwner("7", to_.get()), Owner(7, 7));
  EXPECT_EQ(*ResolveOwner("7:8", to_.get()), Owner(7, 8));
  EXPECT_FALSE(ResolveOwner("nobody", to_.get()));
}

}  // namespace
}  // namespace wherry::engine
