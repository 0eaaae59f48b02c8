#include "core/sys/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::sys {
namespace {

Child Fork(int exit_code) {
  auto cloned = Clone(0, -1);
  EXPECT_TRUE(cloned);
  if (cloned->in_child) {
    if (exit_code < 0)
      pause();
    _exit(exit_code);
  }
  return std::move(cloned->child);
}

TEST(PidFd, WaitsForAChild) {
  Child child = Fork(5);
  auto status = child.process().Wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 5);
  EXPECT_EQ(status->signal, 0);
  EXPECT_FALSE(child.process().Wait());
}

TEST(PidFd, SignalsAndTries) {
  Child child = Fork(-1);
  auto running = child.process().TryWait();
  ASSERT_TRUE(running);
  EXPECT_FALSE(*running);
  EXPECT_TRUE(child.process().Signal(SIGTERM));
  auto status = child.process().Wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->signal, SIGTERM);
  EXPECT_EQ(child.process().Signal(0).error().code(), Errc::kNotFound);
}

TEST(PidFd, OpensByNumber) {
  Child child = Fork(-1);
  auto other = PidFd::Open(child.pid());
  ASSERT_TRUE(other);
  EXPECT_TRUE(other->Signal(0));
  EXPECT_FALSE(PidFd::Open(1 << 30));
}

TEST(Child, IsKilledAndReapedByItsOwner) {
  pid_t pid = -1;
  {
    Child child = Fork(-1);
    pid = child.pid();
    Child moved = std::move(child);
    EXPECT_FALSE(child);
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(ProcessStartTime, NamesAProcess) {
  auto own = ProcessStartTime(getpid());
  ASSERT_TRUE(own);
  EXPECT_GT(*own, 0U);
  EXPECT_EQ(*own, *ProcessStartTime(getpid()));
  EXPECT_EQ(ProcessStartTime(1 << 30).error().code(), Errc::kNotFound);
}

TEST(Clone, MakesNamespaces) {
  if (geteuid() != 0)
    GTEST_SKIP() << "namespaces need root";
  auto cloned = Clone(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWNET, -1);
  ASSERT_TRUE(cloned);
  if (cloned->in_child) {
    bool good = getpid() == 1 && BringLoopbackUp().has_value() && sethostname("x", 1) == 0;
    _exit(good ? 0 : 1);
  }
  EXPECT_EQ(cloned->child.process().Wait()->code, 0);
}

TEST(JoinNamespace, ChecksTheType) {
  auto wrong = JoinNamespace("/proc/self/ns/uts", CLONE_NEWNET);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Errc::kInvalid);
  EXPECT_FALSE(JoinNamespace("/proc/version", CLONE_NEWNET));
  EXPECT_EQ(JoinNamespace("/no/such", CLONE_NEWNET).error().code(), Errc::kNotFound);
}

TEST(CloexecFrom, MarksDescriptors) {
  int fd = open("/dev/null", O_RDONLY);  // NOLINT(android-cloexec-open)
  ASSERT_GT(fd, 2);
  auto cloned = Clone(0, -1);
  ASSERT_TRUE(cloned);
  if (cloned->in_child) {
    bool marked = CloexecFrom(3) && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 &&
                  (fcntl(2, F_GETFD) & FD_CLOEXEC) == 0;
    _exit(marked ? 0 : 1);
  }
  EXPECT_EQ(cloned->child.process().Wait()->code, 0);
  close(fd);
}

}  // namespace
}  // namespace wherry::sys
