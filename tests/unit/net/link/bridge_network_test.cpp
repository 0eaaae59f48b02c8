// Real packets between containers, host and the world outside, with and without br_netfilter.
#include "core/base/text.h"
#include "net/link/firewall.h"
#include "net/link/sysctl.h"
#include "tests/unit/net/link/netns_world.h"

namespace wherry::net {
namespace {

constexpr char kBridgeNetfilter[] = "net/bridge/bridge-nf-call-iptables";
constexpr uint16_t kPort = 80;

// A container: a namespace with eth0 on a bridge.
struct Box {
  TestNetns netns;
  Ipv4 address;
};

// outside 192.0.2.2 -- 192.0.2.1 host -- w0 172.17.0.1/16: one .2, two .3
//                                     -- w1 172.18.0.1/16: other .2
//                                     -- w2 172.19.0.1/16: hidden .2 (internal)
class BridgeNetwork : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "network namespaces need root";
    for (const TestNetns* netns :
         {&host_, &outside_, &one_.netns, &two_.netns, &other_.netns, &hidden_.netns})
      ASSERT_TRUE(netns->valid());
    auto links = Links::Open(host_.fd());
    ASSERT_OK(links);
    auto made = links->AddBridge({.name = "w0", .mac = std::nullopt});
    ASSERT_OK(made);
    int w0 = *made;
    int w1 = *links->AddBridge({.name = "w1", .mac = std::nullopt});
    int w2 = *links->AddBridge({.name = "w2", .mac = std::nullopt});
    int index = 0;
    for (int bridge : {w0, w1, w2}) {
      Ipv4 address{Ip("172.17.0.1").value + (static_cast<uint32_t>(index) << 16)};
      ASSERT_OK(links->AddAddress(bridge, address, 16));
      ASSERT_OK(links->SetUp(bridge));
      ASSERT_OK(PrepareBridge(Cat("w", index++), host_.fd()));
    }
    Join(*links, w0, one_, "172.17.0.2");
    Join(*links, w0, two_, "172.17.0.3");
    Join(*links, w1, other_, "172.18.0.2");
    Join(*links, w2, hidden_, "172.19.0.2");
    ConnectOutside(*links);
    for (const char* name : {"w0", "w1", "w2", "uplink"})
      EXPECT_TRUE(Runs(*links, name)) << name;
    ASSERT_OK(EnableForwarding(host_.fd()));
    Result<> bridged = WriteSysctl(host_.fd(), kBridgeNetfilter, GetParam());
    if (!bridged && bridged.error().code() == Errc::kNotFound && GetParam()[0] == '1')
      GTEST_SKIP() << "the kernel has no br_netfilter";
    auto firewall = Firewall::Open("test", host_.fd());
    if (!firewall && firewall.error().code() == Errc::kUnsupported)
      GTEST_SKIP() << firewall.error().message();
    ASSERT_OK(firewall);
    firewall_.emplace(*std::move(firewall));
    rules_.networks = {{.bridge = "w0", .subnet = Net("172.17.0.0/16")},
                       {.bridge = "w1", .subnet = Net("172.18.0.0/16")},
                       {.bridge = "w2", .subnet = Net("172.19.0.0/16"), .internal = true}};
    rules_.ports = {Publish(IPPROTO_TCP, "0.0.0.0", 8080), Publish(IPPROTO_UDP, "0.0.0.0", 5353),
                    Publish(IPPROTO_TCP, "127.0.0.1", 8081),
                    Publish(IPPROTO_TCP, "172.17.0.1", 8082)};
    Result<> applied = firewall_->Apply(rules_);
    if (!applied && applied.error().code() == Errc::kUnsupported)
      GTEST_SKIP() << applied.error().message();
    ASSERT_OK(applied);
    web_ = Listen(one_.netns);
    dns_ = BoundSocket(one_.netns.fd(), SOCK_DGRAM, {}, kPort);
    outside_web_ = Listen(outside_);
    ASSERT_TRUE(web_ && dns_ && outside_web_);
  }

  static PublishedPort Publish(uint8_t protocol, const char* address, uint16_t port) {
    return {protocol, Ip(address), port, Ip("172.17.0.2"), kPort};
  }

  static UniqueFd Listen(const TestNetns& netns) {
    return BoundSocket(netns.fd(), SOCK_STREAM, {}, kPort);
  }

  void Join(Links& links, int bridge, Box& box, const char* address) {
    box.address = Ip(address);
    auto veth = links.AddVeth({.name = Cat("v", box.address.value),
                               .bridge = bridge,
                               .peer_netns = box.netns.fd(),
                               .peer_mac = std::nullopt});
    ASSERT_OK(veth);
    ASSERT_OK(links.SetHairpin(*veth));
    Plug(box.netns, box.address, 16, {(box.address.value & 0xffff0000) + 1});
    EXPECT_TRUE(Runs(links, Cat("v", box.address.value)));
  }

  static bool Runs(Links& links, const std::string& name) {
    for (int i = 0; i < 2000; ++i) {
      if (links.Find(name)->running)
        return true;
      usleep(1000);
    }
    return false;
  }

  void Plug(const TestNetns& netns, Ipv4 address, uint8_t prefix, Ipv4 gateway) {
    auto inside = Links::Open(netns.fd());
    ASSERT_OK(inside);
    int eth0 = inside->Find("eth0")->index;
    ASSERT_OK(inside->SetUp(eth0));
    ASSERT_OK(inside->AddAddress(eth0, address, prefix));
    ASSERT_OK(inside->AddDefaultRoute(eth0, gateway));
  }

  void ConnectOutside(Links& links) {
    auto up =
        links.AddVeth({.name = "uplink", .peer_netns = outside_.fd(), .peer_mac = std::nullopt});
    ASSERT_OK(up);
    ASSERT_OK(links.AddAddress(*up, Ip("192.0.2.1"), 24));
    Plug(outside_, Ip("192.0.2.2"), 24, Ip("192.0.2.1"));
  }

  std::optional<Ipv4> Tcp(const TestNetns& from, const char* address, uint16_t port,
                          const UniqueFd& server, int wait = kArrivesMs) {
    return Reach(from.fd(), SOCK_STREAM, Ip(address), port, server.get(), wait);
  }

  TestNetns host_;
  TestNetns outside_;
  Box one_;
  Box two_;
  Box other_;
  Box hidden_;
  std::optional<Firewall> firewall_;
  FirewallRules rules_;
  UniqueFd web_;          // TCP 80 of one_
  UniqueFd dns_;          // UDP 80 of one_
  UniqueFd outside_web_;  // TCP 80 of outside_
};

INSTANTIATE_TEST_SUITE_P(BridgeNetfilter, BridgeNetwork, testing::Values("0", "1"));

TEST_P(BridgeNetwork, ContainersOfABridgeReachEachOther) {
  EXPECT_TRUE(Ping(two_.netns.fd(), one_.address));
  EXPECT_EQ(Tcp(two_.netns, "172.17.0.2", kPort, web_), Ip("172.17.0.3"));
}

TEST_P(BridgeNetwork, HostAndContainersReachEachOther) {
  UniqueFd service = Listen(host_);
  EXPECT_EQ(Tcp(host_, "172.17.0.2", kPort, web_), Ip("172.17.0.1"));
  EXPECT_EQ(Tcp(one_.netns, "172.17.0.1", kPort, service), one_.address);
  EXPECT_EQ(Tcp(hidden_.netns, "172.19.0.1", kPort, service), hidden_.address);
  EXPECT_TRUE(Ping(one_.netns.fd(), Ip("192.0.2.1")));
}

TEST_P(BridgeNetwork, TheWorldSeesTheAddressOfTheHost) {
  EXPECT_EQ(Tcp(one_.netns, "192.0.2.2", kPort, outside_web_), Ip("192.0.2.1"));
  EXPECT_EQ(Tcp(other_.netns, "192.0.2.2", kPort, outside_web_), Ip("192.0.2.1"));
  EXPECT_TRUE(Ping(one_.netns.fd(), Ip("192.0.2.2")));
}

TEST_P(BridgeNetwork, WithoutMasqueradeTheWorldSeesTheContainer) {
  rules_.networks[0].masquerade = false;
  ASSERT_OK(firewall_->Apply(rules_));
  EXPECT_EQ(Tcp(one_.netns, "192.0.2.2", kPort, outside_web_), one_.address);
}

TEST_P(BridgeNetwork, PublishedPortIsReachedFromOutside) {
  EXPECT_EQ(Tcp(outside_, "192.0.2.1", 8080, web_), Ip("192.0.2.2"));
  EXPECT_EQ(Reach(outside_.fd(), SOCK_DGRAM, Ip("192.0.2.1"), 5353, dns_.get()), Ip("192.0.2.2"));
  EXPECT_FALSE(Tcp(outside_, "192.0.2.1", 5353, web_, kLostMs)) << "UDP only";
}

TEST_P(BridgeNetwork, PublishedPortIsReachedFromTheHost) {
  EXPECT_EQ(Tcp(host_, "127.0.0.1", 8080, web_), Ip("172.17.0.1"));
  EXPECT_TRUE(Tcp(host_, "127.0.0.99", 8080, web_));
  EXPECT_EQ(Tcp(host_, "192.0.2.1", 8080, web_), Ip("192.0.2.1"));
  EXPECT_EQ(Tcp(host_, "172.17.0.1", 8080, web_), Ip("172.17.0.1"));
  EXPECT_EQ(Reach(host_.fd(), SOCK_DGRAM, Ip("127.0.0.1"), 5353, dns_.get()), Ip("172.17.0.1"));
}

TEST_P(BridgeNetwork, PublishedPortIsReachedFromContainers) {
  EXPECT_EQ(Tcp(two_.netns, "192.0.2.1", 8080, web_), Ip("172.17.0.1")) << "same bridge";
  EXPECT_EQ(Tcp(two_.netns, "172.17.0.1", 8080, web_), Ip("172.17.0.1"));
  EXPECT_EQ(Tcp(one_.netns, "192.0.2.1", 8080, web_), Ip("172.17.0.1")) << "itself";
  EXPECT_EQ(Tcp(other_.netns, "192.0.2.1", 8080, web_), Ip("172.17.0.1")) << "other bridge";
  EXPECT_EQ(Reach(two_.netns.fd(), SOCK_DGRAM, Ip("192.0.2.1"), 5353, dns_.get()),
            Ip("172.17.0.1"));
}

TEST_P(BridgeNetwork, PortOfAnAddressIsReachedByThatAddressOnly) {
  EXPECT_TRUE(Tcp(outside_, "172.17.0.1", 8082, web_));
  EXPECT_FALSE(Tcp(outside_, "192.0.2.1", 8082, web_, kLostMs));
  EXPECT_TRUE(Tcp(host_, "127.0.0.1", 8081, web_));
  EXPECT_FALSE(Tcp(host_, "127.0.0.2", 8081, web_, kLostMs));
  EXPECT_FALSE(Tcp(host_, "192.0.2.1", 8081, web_, kLostMs));
  EXPECT_FALSE(Tcp(outside_, "192.0.2.1", 8081, web_, kLostMs));
}

// Neighbours that send 127.0.0.0/8 to the host.
TEST_P(BridgeNetwork, LoopbackOfTheHostStaysItsOwn) {
  UniqueFd service = BoundSocket(host_.fd(), SOCK_STREAM, Ip("127.0.0.1"), 9000);
  for (const TestNetns* from : {&outside_, &one_.netns}) {
    ASSERT_OK(WriteSysctl(from->fd(), "net/ipv4/conf/eth0/route_localnet", "1"));
    ASSERT_TRUE(GiveUpLoopback(from->fd()));
    EXPECT_FALSE(Tcp(*from, "127.0.0.1", 9000, service, kLostMs)) << "a service of the host";
    EXPECT_FALSE(Tcp(*from, "127.0.0.1", 8081, web_, kLostMs)) << "published for the host only";
  }
  EXPECT_TRUE(Tcp(host_, "127.0.0.1", 9000, service));
}

TEST_P(BridgeNetwork, BridgesAreIsolated) {
  EXPECT_FALSE(Ping(other_.netns.fd(), one_.address, kLostMs));
  EXPECT_FALSE(Tcp(other_.netns, "172.17.0.2", kPort, web_, kLostMs));
  UniqueFd there = Listen(other_.netns);
  EXPECT_FALSE(Tcp(one_.netns, "172.18.0.2", kPort, there, kLostMs));
}

TEST_P(BridgeNetwork, UnpublishedPortsAreNotRoutedTo) {
  EXPECT_FALSE(Tcp(outside_, "172.17.0.2", kPort, web_, kLostMs));
  EXPECT_FALSE(Ping(outside_.fd(), one_.address, kLostMs));
}

TEST_P(BridgeNetwork, InternalNetworkHasNoWayInOrOut) {
  EXPECT_FALSE(Tcp(hidden_.netns, "192.0.2.2", kPort, outside_web_, kLostMs));
  EXPECT_FALSE(Tcp(hidden_.netns, "172.17.0.2", kPort, web_, kLostMs));
  EXPECT_FALSE(Tcp(hidden_.netns, "192.0.2.1", 8080, web_, kLostMs)) << "published elsewhere";
  UniqueFd inside = Listen(hidden_.netns);
  EXPECT_FALSE(Tcp(outside_, "172.19.0.2", kPort, inside, kLostMs));
  EXPECT_FALSE(Tcp(one_.netns, "172.19.0.2", kPort, inside, kLostMs));
}

// Not even one way, and not by a published port.
TEST_P(BridgeNetwork, InternalNetworkLeaksNoDatagrams) {
  UniqueFd there = BoundSocket(outside_.fd(), SOCK_DGRAM, {}, kPort);
  UniqueFd inside = BoundSocket(hidden_.netns.fd(), SOCK_DGRAM, {}, kPort);
  EXPECT_FALSE(Arrives(hidden_.netns.fd(), Ip("192.0.2.2"), kPort, there.get(), kLostMs));
  EXPECT_TRUE(Arrives(one_.netns.fd(), Ip("192.0.2.2"), kPort, there.get()));
  rules_.ports.push_back({IPPROTO_UDP, {}, 5454, hidden_.address, kPort});
  ASSERT_OK(firewall_->Apply(rules_));
  EXPECT_FALSE(Arrives(outside_.fd(), Ip("192.0.2.1"), 5454, inside.get(), kLostMs));
  EXPECT_TRUE(Arrives(host_.fd(), Ip("172.19.0.1"), 5454, inside.get()));
}

TEST_P(BridgeNetwork, ConnectionsSurviveANewRuleset) {
  auto client = sys::SocketIn(outside_.fd(), AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = SocketAddress(Ip("192.0.2.1"), 8080);
  ASSERT_EQ(connect(client->get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  UniqueFd accepted(accept4(web_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  rules_.ports[0].host_port = 8888;
  ASSERT_OK(firewall_->Apply(rules_));
  char byte = 0;
  ASSERT_EQ(send(client->get(), "x", 1, MSG_NOSIGNAL), 1);
  ASSERT_TRUE(WaitFor(accepted.get(), POLLIN, kArrivesMs));
  EXPECT_EQ(recv(accepted.get(), &byte, 1, 0), 1);
  EXPECT_FALSE(Tcp(outside_, "192.0.2.1", 8080, web_, kLostMs)) << "no longer published";
  EXPECT_TRUE(Tcp(outside_, "192.0.2.1", 8888, web_));
}

TEST_P(BridgeNetwork, GuardedHostForwardsNothingElse) {
  TestNetns lan;
  auto links = Links::Open(host_.fd());
  int port = *links->AddVeth({.name = "lan", .peer_netns = lan.fd(), .peer_mac = std::nullopt});
  ASSERT_OK(links->AddAddress(port, Ip("198.51.100.1"), 24));
  Plug(lan, Ip("198.51.100.2"), 24, Ip("198.51.100.1"));
  EXPECT_EQ(Tcp(lan, "192.0.2.2", kPort, outside_web_), Ip("198.51.100.2"));
  rules_.guard_forwarding = true;
  ASSERT_OK(firewall_->Apply(rules_));
  EXPECT_FALSE(Tcp(lan, "192.0.2.2", kPort, outside_web_, kLostMs));
  EXPECT_TRUE(Tcp(one_.netns, "192.0.2.2", kPort, outside_web_));
  EXPECT_TRUE(Tcp(outside_, "192.0.2.1", 8080, web_));
  EXPECT_TRUE(Tcp(two_.netns, "192.0.2.1", 8080, web_));
  EXPECT_TRUE(Tcp(two_.netns, "172.17.0.2", kPort, web_));
}

TEST_P(BridgeNetwork, RemovedFirewallLeavesNothing) {
  ASSERT_OK(firewall_->Remove());
  EXPECT_FALSE(Tcp(outside_, "192.0.2.1", 8080, web_, kLostMs));
  EXPECT_TRUE(Tcp(other_.netns, "172.17.0.2", kPort, web_)) << "the host forwards all";
  ASSERT_OK(firewall_->Remove());
}

}  // namespace
}  // namespace wherry::net
