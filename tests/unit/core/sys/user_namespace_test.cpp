#include "core/sys/user_namespace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::sys {
namespace {

TEST(IdMap, Translates) {
  IdMap map = {{0, 1000, 1}, {1, 200000, 10}};
  EXPECT_EQ(OutsideId(map, 0), 1000U);
  EXPECT_EQ(OutsideId(map, 10), 200009U);
  EXPECT_EQ(OutsideId(map, 11), std::nullopt);
  EXPECT_EQ(InsideId(map, 1000), 0U);
  EXPECT_EQ(InsideId(map, 200000), 1U);
  EXPECT_EQ(InsideId(map, 200010), std::nullopt);
  EXPECT_EQ(InsideId(map, 0), std::nullopt);
}

TEST(UserNamespace, IsMadeWithItsMaps) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  EXPECT_TRUE(MakeUserNamespace({{{0, 100000, 10}}, {{0, 200000, 20}}}));
  auto overlap = MakeUserNamespace({{{0, 100000, 10}, {5, 300000, 10}}, {{0, 200000, 20}}});
  ASSERT_FALSE(overlap);
  EXPECT_EQ(overlap.error().code(), Errc::kInvalid);
  EXPECT_NE(overlap.error().message().find("uid_map"), std::string::npos);
}

// What a thread makes is another's, with all capabilities, and afterwards its own again.
TEST(ActingAs, EndsWithTheObject) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  char name[] = "/tmp/wherry-acting.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  std::string directory = name;
  ASSERT_EQ(chmod(name, 0700), 0);
  std::thread([&] {
    {
      auto acting = ActingAs::Begin(4711, 4712);
      ASSERT_TRUE(acting);
      EXPECT_TRUE(Open(Cat(directory, "/theirs"), O_CREAT | O_WRONLY, 0600));
    }
    EXPECT_TRUE(Open(Cat(directory, "/own"), O_CREAT | O_WRONLY, 0600));
  }).join();
  struct stat info{};
  ASSERT_EQ(stat(Cat(directory, "/theirs").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 4711U);
  EXPECT_EQ(info.st_gid, 4712U);
  ASSERT_EQ(stat(Cat(directory, "/own").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
  EXPECT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace wherry::sys
