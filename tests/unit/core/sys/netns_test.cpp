#include "core/sys/netns.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"

namespace wherry::sys {
namespace {

UniqueFd NewNetns() {
  UniqueFd made;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) == 0)
      made = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return made;
}

ino_t Inode(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

ino_t OwnNetns() {
  UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  return Inode(own.get());
}

class Netns : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "network namespaces need root";
    netns_ = NewNetns();
    ASSERT_TRUE(netns_);
  }
  UniqueFd netns_;
};

TEST_F(Netns, WorkIsDoneInsideAndTheCallerStays) {
  ino_t before = OwnNetns();
  ino_t seen = 0;
  ASSERT_TRUE(InNetns(netns_.get(), [&]() -> Result<> {
    seen = OwnNetns();
    return {};
  }));
  EXPECT_EQ(seen, Inode(netns_.get()));
  EXPECT_EQ(OwnNetns(), before);
  EXPECT_NE(seen, before);
}

TEST_F(Netns, NoNamespaceIsTheOwn) {
  ino_t seen = 0;
  ASSERT_TRUE(InNetns(kOwnNetns, [&]() -> Result<> {
    seen = OwnNetns();
    return {};
  }));
  EXPECT_EQ(seen, OwnNetns());
}

TEST_F(Netns, ErrorsComeBack) {
  Result<> failed = InNetns(netns_.get(), [] { return Fail(Errc::kBusy, "occupied"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "occupied");
  bool called = false;
  UniqueFd file(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  Result<> wrong = InNetns(file.get(), [&]() -> Result<> {
    called = true;
    return {};
  });
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Errc::kInvalid);
  EXPECT_FALSE(called);
}

TEST_F(Netns, SocketsKeepTheirNamespace) {
  auto fd = SocketIn(netns_.get(), AF_INET, SOCK_DGRAM, 0);
  ASSERT_TRUE(fd);
  EXPECT_EQ(fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
  ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  ASSERT_EQ(ioctl(fd->get(), SIOCGIFFLAGS, &request), 0);
  EXPECT_EQ(request.ifr_flags & IFF_UP, 0) << "the new namespace's lo is down";
}

TEST_F(Netns, SignalsAreNotTakenInside) {
  sigset_t inside;
  ASSERT_TRUE(InNetns(netns_.get(), [&]() -> Result<> {
    pthread_sigmask(SIG_SETMASK, nullptr, &inside);
    return {};
  }));
  EXPECT_TRUE(sigismember(&inside, SIGTERM));
  sigset_t outside;
  pthread_sigmask(SIG_SETMASK, nullptr, &outside);
  EXPECT_FALSE(sigismember(&outside, SIGTERM));
}

}  // namespace
}  // namespace wherry::sys
