#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/net/http/http_fixture.h"

namespace wherry::http {
namespace {

class ListenUnixTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = Cat(testing::TempDir(), "/wherry-listen-XXXXXX");
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    path_ = Cat(dir_, "/s");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(dir_)); }
  struct stat Stat() {
    struct stat info{};
    EXPECT_EQ(lstat(path_.c_str(), &info), 0);
    return info;
  }

  std::string dir_;
  std::string path_;
};

TEST_F(ListenUnixTest, ModeIsExact) {
  for (mode_t mask : {0000, 0077}) {
    mode_t old = umask(mask);
    auto fd = ListenUnix(path_, 0660, "");
    umask(old);
    ASSERT_TRUE(fd) << fd.error().message();
    EXPECT_EQ(Stat().st_mode & 07777, 0660u);
    EXPECT_NE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(ListenUnixTest, StaleSocketIsReplacedLiveOneIsBusy) {
  auto first = ListenUnix(path_, 0600, "");
  ASSERT_TRUE(first);
  auto second = ListenUnix(path_, 0600, "");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kBusy);
  EXPECT_NE(second.error().message().find(path_), std::string::npos);
  RawClient still_works(path_);
  first->Reset();
  EXPECT_TRUE(ListenUnix(path_, 0600, ""));
}

TEST_F(ListenUnixTest, OtherFilesAreLeftAlone) {
  ASSERT_TRUE(ReplaceFile(path_, "data", 0644, Durability::kVolatile));
  EXPECT_EQ(ListenUnix(path_, 0600, "").error().code(), Errc::kExists);
  EXPECT_EQ(*ReadFile(path_), "data");
}

TEST_F(ListenUnixTest, PathLimits) {
  EXPECT_EQ(ListenUnix("", 0600, "").error().code(), Errc::kInvalid);
  auto result = ListenUnix(Cat(dir_, "/", std::string(100, 'x')), 0600, "");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kInvalid);
  EXPECT_NE(result.error().message().find("107"), std::string::npos);
  EXPECT_EQ(ListenUnix(Cat(dir_, "/missing/s"), 0600, "").error().code(), Errc::kNotFound);
}

TEST_F(ListenUnixTest, Group) {
  if (getuid() != 0) {
    GTEST_SKIP() << "only root gives files away";
  }
  EXPECT_TRUE(ListenUnix(path_, 0660, "daemon"));
  EXPECT_EQ(Stat().st_gid, 1u);
  EXPECT_TRUE(ListenUnix(path_, 0660, "4711"));
  EXPECT_EQ(Stat().st_gid, 4711u);
  EXPECT_TRUE(ListenUnix(path_, 0660, "no-such-group-here"));
  EXPECT_EQ(Stat().st_gid, getgid());
}

}  // namespace
}  // namespace wherry::http
