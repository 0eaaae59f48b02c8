#include "net/link/sysctl.h"

#include "tests/unit/net/link/netns_world.h"

namespace wherry::net {
namespace {

class SysctlTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "network namespaces need root";
    ASSERT_TRUE(netns_.valid());
  }
  TestNetns netns_;
};

TEST_F(SysctlTest, ForwardingIsTurnedOnOnce) {
  auto own = ReadSysctl(sys::kOwnNetns, "net/ipv4/ip_forward");
  ASSERT_OK(own);
  ASSERT_OK(WriteSysctl(netns_.fd(), "net/ipv4/ip_forward", "0"));
  EXPECT_TRUE(*EnableForwarding(netns_.fd()));
  EXPECT_FALSE(*EnableForwarding(netns_.fd()));
  EXPECT_EQ(*ReadSysctl(netns_.fd(), "net/ipv4/ip_forward"), "1");
  EXPECT_EQ(*ReadSysctl(sys::kOwnNetns, "net/ipv4/ip_forward"), *own);
}

TEST_F(SysctlTest, BridgeIsPrepared) {
  auto links = Links::Open(netns_.fd());
  auto bridge = links->AddBridge({.name = "w0", .mac = std::nullopt});
  if (!bridge && bridge.error().code() == Errc::kUnsupported)
    GTEST_SKIP() << bridge.error().message();
  ASSERT_OK(PrepareBridge("w0", netns_.fd()));
  EXPECT_EQ(*ReadSysctl(netns_.fd(), "net/ipv4/conf/w0/route_localnet"), "1");
  EXPECT_EQ(*ReadSysctl(netns_.fd(), "net/ipv4/conf/all/route_localnet"), "0");
  EXPECT_EQ(PrepareBridge("w1", netns_.fd()).error().code(), Errc::kNotFound);
}

}  // namespace
}  // namespace wherry::net
