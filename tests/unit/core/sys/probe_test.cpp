#include "core/sys/probe.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/sys/cgroup.h"

namespace wherry::sys {
namespace {

Result<> SeesOnlyLoopback() {
  std::array<char, IF_NAMESIZE> name;
  if (if_indextoname(2, name.data()) != nullptr)
    return Fail(Errc::kInvalid, "a second device");
  return {};
}

Result<> Fails() {
  return Fail(Errc::kDenied, "told by the child");
}

Result<> Dies() {
  kill(getpid(), SIGKILL);
  return {};
}

class Probe : public testing::Test {
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "run as root";
  }
};

TEST_F(Probe, WorksInsideNewNamespaces) {
  auto tried = TryInChild(CLONE_NEWNET, SeesOnlyLoopback);
  EXPECT_TRUE(tried) << tried.error().message();
}

TEST_F(Probe, ErrorsComeBack) {
  auto told = TryInChild(0, Fails);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().message(), "told by the child");
  EXPECT_EQ(told.error().code(), Errc::kUnsupported);
  auto killed = TryInChild(0, Dies);
  ASSERT_FALSE(killed);
  EXPECT_EQ(killed.error().code(), Errc::kInternal);
}

TEST_F(Probe, LeavesNoCgroup) {
  auto host = FindCgroupHost();
  if (!host)
    GTEST_SKIP() << host.error().message();
  auto probed = ProbeCgroup(host->mount);
  EXPECT_TRUE(probed) << probed.error().message();
  EXPECT_FALSE(PathExists(host->mount + "/wherry-check-" + std::to_string(getpid())));
}

TEST_F(Probe, MapsOwnersOfAFileSystemThatCan) {
  auto proc = OpenDir("/proc");
  ASSERT_TRUE(proc);
  EXPECT_FALSE(ProbeIdmap(proc->get()));  // which cannot, on any kernel
}

}  // namespace
}  // namespace wherry::sys
