#include "net/link/link.h"

#include <algorithm>

#include "net/link/sysctl.h"
#include "tests/unit/net/link/netns_world.h"

namespace wherry::net {
namespace {

class LinkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "network namespaces need root";
    ASSERT_TRUE(host_.valid() && box_.valid());
    auto links = Links::Open(host_.fd());
    ASSERT_OK(links);
    links_.emplace(*std::move(links));
    auto bridge = links_->AddBridge({.name = "w0", .mac = std::nullopt});
    if (!bridge && bridge.error().code() == Errc::kUnsupported)
      GTEST_SKIP() << bridge.error().message();
    ASSERT_OK(bridge);
    bridge_ = *bridge;
  }
  TestNetns host_;
  TestNetns box_;
  std::optional<Links> links_;
  int bridge_ = 0;
};

TEST_F(LinkTest, BridgeIsAsAsked) {
  Mac mac{2, 1, 2, 3, 4, 5};
  auto made = links_->AddBridge({.name = "w1", .mac = mac, .mtu = 1400});
  ASSERT_OK(made);
  auto found = links_->Find("w1");
  ASSERT_OK(found);
  EXPECT_EQ(found->index, *made);
  EXPECT_EQ(found->kind, "bridge");
  EXPECT_EQ(found->mac, mac);
  EXPECT_EQ(found->mtu, 1400U);
  EXPECT_FALSE(found->up);
  ASSERT_OK(links_->SetUp(*made));
  EXPECT_TRUE(links_->Find("w1")->up);
  EXPECT_EQ(links_->AddBridge({.name = "w1", .mac = mac}).error().code(), Errc::kExists);
}

TEST_F(LinkTest, BridgeKeepsItsAddressWhenPortsCome) {
  Mac before = links_->Find("w0")->mac;
  EXPECT_EQ(before[0] & 3, 2);
  auto veth = links_->AddVeth(
      {.name = "v0", .bridge = bridge_, .peer_netns = box_.fd(), .peer_mac = std::nullopt});
  ASSERT_OK(veth);
  ASSERT_OK(links_->SetMac(*veth, Mac{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(links_->Find("w0")->mac, before);
}

TEST_F(LinkTest, VethHasItsPeerInTheOtherNamespace) {
  Mac mac{2, 66, 172, 17, 0, 2};
  auto veth = links_->AddVeth(
      {.name = "v0", .bridge = bridge_, .peer_netns = box_.fd(), .peer_mac = mac, .mtu = 1300});
  ASSERT_OK(veth);
  auto here = links_->Find("v0");
  ASSERT_OK(here);
  EXPECT_EQ(here->index, *veth);
  EXPECT_EQ(here->kind, "veth");
  EXPECT_EQ(here->master, bridge_);
  EXPECT_EQ(here->mtu, 1300U);
  EXPECT_TRUE(here->up);
  EXPECT_EQ(links_->Find("eth0").error().code(), Errc::kNotFound);
  auto inside = Links::Open(box_.fd());
  auto peer = inside->Find("eth0");
  ASSERT_OK(peer);
  EXPECT_EQ(peer->mac, mac);
  EXPECT_EQ(peer->mtu, 1300U);
  EXPECT_FALSE(peer->up);
  ASSERT_OK(inside->SetMtu(peer->index, 1200));
  EXPECT_EQ(inside->Find("eth0")->mtu, 1200U);
  // Both ends go together; what is gone already is no error.
  ASSERT_OK(links_->Delete(*veth));
  ASSERT_OK(links_->Delete(*veth));
  EXPECT_EQ(inside->Find("eth0").error().code(), Errc::kNotFound);
}

TEST_F(LinkTest, VxlanIsAsAsked) {
  Tunnel tunnel{4711, kVxlanPort, {}, {Ip("192.0.2.1"), Ip("192.0.2.2"), Ip("192.0.2.1")}};
  auto made = links_->AddVxlan({.name = "x0", .bridge = bridge_, .mtu = 1450, .tunnel = tunnel});
  if (!made && made.error().code() == Errc::kUnsupported)
    GTEST_SKIP() << made.error().message();
  ASSERT_OK(made);
  auto found = links_->Find("x0");
  ASSERT_OK(found);
  EXPECT_EQ(found->kind, "vxlan");
  EXPECT_EQ(found->master, bridge_);
  EXPECT_EQ(found->mtu, 1450U);
  EXPECT_FALSE(found->up);
  EXPECT_EQ(links_->AddVxlan({.name = "x1", .tunnel = tunnel}).error().code(), Errc::kExists);
  // Its port is open as long as it is up.
  EXPECT_TRUE(BoundSocket(host_.fd(), SOCK_DGRAM, {}, tunnel.port));
  ASSERT_OK(links_->SetUp(*made));
  EXPECT_FALSE(BoundSocket(host_.fd(), SOCK_DGRAM, {}, tunnel.port));
  ASSERT_OK(links_->Delete(*made));
  UniqueFd holder = BoundSocket(host_.fd(), SOCK_DGRAM, {}, tunnel.port);
  ASSERT_TRUE(holder);
  int again = *links_->AddVxlan({.name = "x0", .tunnel = tunnel});
  EXPECT_EQ(links_->SetUp(again).error().error_number(), EADDRINUSE);
}

TEST_F(LinkTest, PeerIsNotMadeWhereItsNameIsTaken) {
  ASSERT_OK(links_->AddVeth({.name = "v0", .peer_netns = box_.fd(), .peer_mac = std::nullopt}));
  auto second = links_->AddVeth({.name = "v1", .peer_netns = box_.fd(), .peer_mac = std::nullopt});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kExists);
  EXPECT_FALSE(links_->Find("v1")) << "nothing is left of it";
}

TEST_F(LinkTest, PortsJoinAndLeave) {
  int veth = *links_->AddVeth({.name = "v0", .peer_netns = box_.fd(), .peer_mac = std::nullopt});
  EXPECT_EQ(links_->Find("v0")->master, 0);
  ASSERT_OK(links_->SetMaster(veth, bridge_));
  EXPECT_EQ(links_->Find("v0")->master, bridge_);
  ASSERT_OK(links_->SetHairpin(veth));
  ASSERT_OK(links_->SetMaster(veth, 0));
  EXPECT_EQ(links_->Find("v0")->master, 0);
}

TEST_F(LinkTest, AddressesAndRoutesAreListed) {
  ASSERT_OK(links_->AddAddress(bridge_, Ip("172.17.0.1"), 16));
  EXPECT_EQ(links_->AddAddress(bridge_, Ip("172.17.0.1"), 16).error().code(), Errc::kExists);
  ASSERT_OK(links_->SetUp(bridge_));
  ASSERT_OK(links_->AddDefaultRoute(bridge_, Ip("172.17.0.254")));
  auto addresses = links_->Addresses();
  ASSERT_OK(addresses);
  EXPECT_EQ(std::count_if(addresses->begin(), addresses->end(),
                          [&](const LinkAddress& address) {
                            return address.link == bridge_ && address.prefix == 16 &&
                                   address.address == Ip("172.17.0.1");
                          }),
            1);
  auto routes = links_->Routes();
  ASSERT_OK(routes);
  EXPECT_EQ(std::count_if(routes->begin(), routes->end(),
                          [&](const LinkRoute& route) {
                            return route.destination.prefix == 0 && route.table == 254 &&
                                   route.link == bridge_ && route.gateway == Ip("172.17.0.254");
                          }),
            1);
  auto used = links_->UsedSubnets();
  ASSERT_OK(used);
  EXPECT_NE(std::find(used->begin(), used->end(), Net("172.17.0.0/16")), used->end());
  EXPECT_NE(std::find(used->begin(), used->end(), Net("127.0.0.0/8")), used->end());
  EXPECT_EQ(std::find(used->begin(), used->end(), Net("0.0.0.0/0")), used->end());
}

TEST_F(LinkTest, ListsMoreThanOneMessageHolds) {
  constexpr uint32_t kAddresses = 200;
  for (uint32_t i = 0; i < kAddresses; ++i)
    ASSERT_OK(links_->AddAddress(bridge_, {Ip("10.0.0.1").value + i}, 32));
  auto list = links_->Addresses();
  ASSERT_OK(list);
  EXPECT_EQ(std::count_if(list->begin(), list->end(),
                          [&](const LinkAddress& address) { return address.link == bridge_; }),
            kAddresses);
  ASSERT_OK(links_->Delete(bridge_));
  EXPECT_FALSE(links_->Find("w0"));
}

TEST_F(LinkTest, ErrorsSayWhatAndWhy) {
  EXPECT_EQ(links_->SetUp(4711).error().code(), Errc::kNotFound);
  auto route = links_->AddDefaultRoute(bridge_, Ip("10.9.8.7"));
  ASSERT_FALSE(route);
  EXPECT_NE(route.error().message().find("10.9.8.7"), std::string::npos);
  auto mtu = links_->SetMtu(bridge_, 1);
  ASSERT_FALSE(mtu);
  EXPECT_NE(mtu.error().message().find("mtu less than device minimum"), std::string::npos)
      << mtu.error().message();
  EXPECT_EQ(links_->AddAddress(bridge_, Ip("10.0.0.1"), 33).error().code(), Errc::kInvalid);
}

TEST(LinkName, IsWhatKernelAndProcfsTake) {
  for (const char* name : {"w0", "wherry-0123456", "eth0.100", "a"})
    EXPECT_TRUE(IsLinkName(name)) << name;
  for (const char* name : {"", ".", "..", "sixteen-bytes-on", "a/b", "a b", "eth%d", "a:b", "\xc3"})
    EXPECT_FALSE(IsLinkName(name)) << name;
}

}  // namespace
}  // namespace wherry::net
