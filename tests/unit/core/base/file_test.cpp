#include "core/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "core/base/text.h"

namespace wherry {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = Cat(testing::TempDir(), "/wherry-file-XXXXXX");
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_)); }

  std::string Path(std::string_view name) const { return Cat(dir_, "/", name); }
  void Put(std::string_view name, std::string_view content) {
    ASSERT_TRUE(ReplaceFile(Path(name), content, 0644, Durability::kVolatile));
  }
  mode_t Mode(std::string_view name) {
    struct stat info;
    return stat(Path(name).c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

  std::string dir_;
};

TEST(SplitPath, DirAndName) {
  auto expect = [](std::string_view path, std::string_view dir, std::string_view name) {
    PathParts parts = SplitPath(path);
    EXPECT_EQ(parts.dir, dir) << path;
    EXPECT_EQ(parts.name, name) << path;
  };
  expect("/a/b", "/a", "b");
  expect("/a/b//", "/a", "b");
  expect("/a", "/", "a");
  expect("b", ".", "b");
  expect("a/b", "a", "b");
  expect("/", "/", "");
  expect("", ".", "");
}

TEST_F(FileTest, OpenIsCloexecAndNamesThePath) {
  Put("a", "x");
  auto fd = Open(Path("a"), O_RDONLY);
  ASSERT_TRUE(fd);
  EXPECT_NE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  auto missing = Open(Path("b"), O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kNotFound);
  EXPECT_NE(missing.error().message().find(Path("b")), std::string::npos);
}

TEST_F(FileTest, ReadFileHonoursTheLimit) {
  std::string content(10000, 'x');
  Put("a", content);
  EXPECT_EQ(*ReadFile(Path("a")), content);
  EXPECT_EQ(*ReadFile(Path("a"), 10000), content);
  auto longer = ReadFile(Path("a"), 9999);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code(), Errc::kInvalid);
  Put("empty", "");
  EXPECT_EQ(*ReadFile(Path("empty"), 0), "");
}

TEST_F(FileTest, ReadsFilesWithoutSize) {
  auto status = ReadFile("/proc/self/status");
  ASSERT_TRUE(status);
  EXPECT_NE(status->find("Name:"), std::string::npos);
  EXPECT_FALSE(ReadFile("/proc/self/status", 10));
  EXPECT_FALSE(ReadFile("/dev/zero", 1 << 16));
}

TEST_F(FileTest, WriteExistingNeverCreates) {
  EXPECT_FALSE(WriteExisting(Path("a"), "x"));
  EXPECT_FALSE(PathExists(Path("a")));
  Put("a", "hello");
  EXPECT_TRUE(WriteExisting(Path("a"), "J"));
  EXPECT_EQ(*ReadFile(Path("a")), "Jello");
  auto full = WriteExisting("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Errc::kNoSpace);
}

TEST_F(FileTest, ReplaceSetsContentAndModeWhateverTheUmask) {
  mode_t old = umask(0777);
  Result<> done = ReplaceFile(Path("a"), "one", 0640, Durability::kPersistent);
  umask(old);
  ASSERT_TRUE(done);
  EXPECT_EQ(Mode("a"), 0640u);
  ASSERT_TRUE(ReplaceFile(Path("a"), "two", 0600, Durability::kPersistent));
  EXPECT_EQ(*ReadFile(Path("a")), "two");
  EXPECT_EQ(Mode("a"), 0600u);
  EXPECT_EQ(ListDir(dir_)->size(), 1u);
}

TEST_F(FileTest, ReplaceTakesOverALeftoverTemporary) {
  Put(".a.tmp", std::string(5000, 'z'));
  ASSERT_TRUE(ReplaceFile(Path("a"), "new", 0644, Durability::kPersistent));
  EXPECT_EQ(*ReadFile(Path("a")), "new");
  EXPECT_EQ(ListDir(dir_)->size(), 1u);
}

TEST_F(FileTest, ReplaceDoesNotFollowALinkInTheWay) {
  Put("victim", "precious");
  ASSERT_EQ(symlink("victim", Path(".a.tmp").c_str()), 0);
  EXPECT_FALSE(ReplaceFile(Path("a"), "new", 0644, Durability::kVolatile));
  EXPECT_EQ(*ReadFile(Path("victim")), "precious");
  // The name itself may be a link: it is replaced, its target untouched.
  ASSERT_EQ(symlink("victim", Path("b").c_str()), 0);
  ASSERT_TRUE(ReplaceFile(Path("b"), "new", 0644, Durability::kVolatile));
  EXPECT_EQ(*ReadFile(Path("victim")), "precious");
}

TEST_F(FileTest, FailedReplaceLeavesOldContentAndNoTemporary) {
  ASSERT_TRUE(MakeDirs(Path("a/full"), 0755));
  EXPECT_FALSE(ReplaceFile(Path("a"), "x", 0644, Durability::kPersistent));
  EXPECT_EQ(ListDir(dir_)->size(), 1u);
  EXPECT_FALSE(ReplaceFile(Path("missing/a"), "x", 0644, Durability::kPersistent));
  EXPECT_FALSE(ReplaceFile(Path(""), "x", 0644, Durability::kPersistent));
}

TEST_F(FileTest, ReplaceWorksBelowAPathDescriptor) {
  auto dir = Open(dir_, O_PATH | O_DIRECTORY);
  ASSERT_TRUE(dir);
  EXPECT_TRUE(ReplaceFileAt(dir->get(), "a", "x", 0644, Durability::kPersistent));
  EXPECT_EQ(*ReadFileAt(dir->get(), "a"), "x");
}

TEST_F(FileTest, ConcurrentReplacementsNeverMix) {
  auto writer = [&](char letter) {
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(ReplaceFile(Path("a"), std::string(3000, letter), 0644, Durability::kVolatile));
    }
  };
  Put("a", std::string(3000, 'a'));
  std::thread one(writer, 'b');
  std::thread two(writer, 'c');
  for (int i = 0; i < 200; ++i) {
    std::string content = *ReadFile(Path("a"));
    ASSERT_EQ(content, std::string(3000, content[0]));
  }
  one.join();
  two.join();
  EXPECT_EQ(ListDir(dir_)->size(), 1u);
}

TEST_F(FileTest, MakeDirs) {
  mode_t old = umask(077);
  EXPECT_TRUE(MakeDirs(Path("a/b/c/"), 0755));
  umask(old);
  EXPECT_EQ(Mode("a"), 0755u);
  EXPECT_EQ(Mode("a/b/c"), 0755u);
  ASSERT_EQ(chmod(Path("a").c_str(), 0700), 0);
  EXPECT_TRUE(MakeDirs(Path("a"), 0755));
  EXPECT_EQ(Mode("a"), 0700u);
  Put("file", "x");
  EXPECT_FALSE(MakeDirs(Path("file"), 0755));
  EXPECT_FALSE(MakeDirs(Path("file/below"), 0755));
  EXPECT_FALSE(MakeDirs("", 0755));
  EXPECT_TRUE(MakeDirs("/", 0755));
}

TEST_F(FileTest, ListDir) {
  Put("a", "x");
  ASSERT_TRUE(MakeDirs(Path("b"), 0755));
  for (int i = 0; i < 500; ++i) {
    Put(Cat("b/file-with-a-long-name-", i), "");
  }
  auto names = *ListDir(dir_);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ListDir(Path("b"))->size(), 500u);
  EXPECT_FALSE(ListDir(Path("a")));
  auto fd = OpenDir(Path("b"));
  EXPECT_EQ(ListDirFd(fd->get())->size(), 500u);
  EXPECT_EQ(ListDirFd(fd->get())->size(), 500u);
}

TEST_F(FileTest, RemoveTreeOfWhatIsNotThere) {
  EXPECT_TRUE(RemoveTree(Path("none")));
  EXPECT_TRUE(RemoveTree(Path("none/below")));
}

TEST_F(FileTest, RemoveTreeTakesFilesAndTrees) {
  Put("file", "x");
  EXPECT_TRUE(RemoveTree(Path("file")));
  ASSERT_TRUE(MakeDirs(Path("d/e/f"), 0755));
  for (int i = 0; i < 700; ++i) {
    Put(Cat("d/e/some-file-name-", i), "");
  }
  ASSERT_EQ(mkfifo(Path("d/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(RemoveTree(Cat(Path("d"), "/")));
  EXPECT_TRUE(ListDir(dir_)->empty());
}

TEST_F(FileTest, RemoveTreeNeverFollowsLinks) {
  ASSERT_TRUE(MakeDirs(Path("outside/keep"), 0755));
  Put("outside/file", "x");
  ASSERT_TRUE(MakeDirs(Path("tree"), 0755));
  ASSERT_EQ(symlink("../outside", Path("tree/link").c_str()), 0);
  ASSERT_EQ(symlink("/", Path("tree/root").c_str()), 0);
  ASSERT_EQ(symlink("outside", Path("toplink").c_str()), 0);
  EXPECT_TRUE(RemoveTree(Path("tree")));
  EXPECT_TRUE(RemoveTree(Path("toplink")));
  EXPECT_EQ(ListDir(Path("outside"))->size(), 2u);
  EXPECT_FALSE(PathExists(Path("tree")));
  // The way to the tree may go through a link.
  ASSERT_EQ(symlink("outside", Path("way").c_str()), 0);
  EXPECT_TRUE(RemoveTree(Path("way/keep")));
  EXPECT_FALSE(PathExists(Path("outside/keep")));
}

TEST_F(FileTest, RemoveTreeOfAnyDepthNeedsFewDescriptors) {
  constexpr int kDepth = 1000;
  ASSERT_TRUE(MakeDirs(Path("deep"), 0755));
  UniqueFd dir = std::move(*OpenDir(Path("deep")));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(dir.get(), "d", 0755), 0);
    if (i == kDepth - 1) {
      ASSERT_TRUE(ReplaceFileAt(dir.get(), ".removed-0", "", 0644, Durability::kVolatile));
    }
    dir = std::move(*OpenAt(dir.get(), "d", O_RDONLY | O_DIRECTORY));
  }
  dir.Reset();
  rlimit old;
  getrlimit(RLIMIT_NOFILE, &old);
  rlimit few{64, old.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  Result<> done = RemoveTree(Path("deep"));
  setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_TRUE(done);
  EXPECT_FALSE(PathExists(Path("deep")));
}

// In a mount namespace of its own, where it may make one.
TEST_F(FileTest, RemoveTreeStopsAtMounts) {
  ASSERT_TRUE(MakeDirs(Path("outside"), 0755));
  Put("outside/file", "x");
  ASSERT_TRUE(MakeDirs(Path("tree/mnt"), 0755));
  pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(Path("outside").c_str(), Path("tree/mnt").c_str(), nullptr, MS_BIND, nullptr) != 0) {
      _exit(77);
    }
    Result<> done = RemoveTree(Path("tree"));
    _exit(!done && done.error().code() == Errc::kBusy && PathExists(Path("outside/file")) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "mounting is not permitted here";
  }
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(PathExists(Path("outside/file")));
}

TEST_F(FileTest, PathExistsFollowsLinks) {
  ASSERT_EQ(symlink("nowhere", Path("link").c_str()), 0);
  EXPECT_FALSE(PathExists(Path("link")));
  EXPECT_TRUE(PathExists(dir_));
}

}  // namespace
}  // namespace wherry
