#include "core/runtime/capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

namespace wherry::runtime {
namespace {

TEST(Capabilities, NamesWithAndWithoutPrefix) {
  EXPECT_EQ(*CapabilityNumber("CAP_NET_ADMIN"), CAP_NET_ADMIN);
  EXPECT_EQ(*CapabilityNumber("net_admin"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityName(CAP_NET_ADMIN), "CAP_NET_ADMIN");
  for (int number = 0; number <= CAP_LAST_CAP; ++number) {
    EXPECT_EQ(*CapabilityNumber(CapabilityName(number)), number);
  }
  auto unknown = CapabilityNumber("CAP_FLY");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message().find("CAP_FLY"), std::string::npos);
  EXPECT_FALSE(CapabilityNumber(""));
  EXPECT_FALSE(CapabilityNumber("CAP_"));
}

TEST(Capabilities, Sets) {
  auto names = CapabilityNames(kDockerCapabilities);
  EXPECT_EQ(names.size(), 14u);
  EXPECT_EQ(*ParseCapabilities(names), kDockerCapabilities);
  std::vector<std::string> all = {"ALL"};
  EXPECT_EQ(*ParseCapabilities(all), AllCapabilities());
  EXPECT_GE(LastCapability(), CAP_AUDIT_READ);
}

// In a child: the sets of a container's init come out exactly.
TEST(Capabilities, AreSetExactly) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  auto before = CurrentCapabilities();
  ASSERT_TRUE(before);
  if ((kDockerCapabilities & ~before->permitted) != 0)
    GTEST_SKIP() << "this process lacks capabilities";
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    CapabilitySets wanted;
    wanted.bounding = kDockerCapabilities;
    wanted.effective = wanted.permitted = CapabilityBit(CAP_KILL) | CapabilityBit(CAP_CHOWN);
    wanted.inheritable = wanted.ambient = CapabilityBit(CAP_CHOWN);
    if (!DropBounding(wanted.bounding) || !KeepCapabilitiesOverSetuid())
      _exit(1);
    if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1000, 1000) != 0)
      _exit(2);
    if (!SetCapabilities(wanted))
      _exit(3);
    auto now = CurrentCapabilities();
    if (!now)
      _exit(4);
    bool same = now->bounding == wanted.bounding && now->effective == wanted.effective &&
                now->permitted == wanted.permitted && now->inheritable == wanted.inheritable &&
                now->ambient == wanted.ambient;
    if (!same)
      _exit(5);
    // What is gone cannot come back, and the message names it.
    wanted.effective |= CapabilityBit(CAP_SYS_ADMIN);
    auto denied = SetCapabilities(wanted);
    _exit(!denied && denied.error().message().find("CAP_SYS_ADMIN") != std::string::npos ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace wherry::runtime
