#include "engine/network/network.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::engine {
namespace {

Result<Network> Parse(std::string_view text) {
  auto document = JsonDocument::Parse(text, "text");
  EXPECT_TRUE(document) << text;
  return ParseNetworkRequest(document->root());
}

struct Refused {
  std::string body;
  Errc code;
  std::string_view says;
};

void ExpectRefused(std::initializer_list<Refused> rows) {
  for (const Refused& row : rows) {
    auto network = Parse(row.body);
    ASSERT_FALSE(network) << row.body;
    EXPECT_EQ(network.error().code(), row.code) << row.body;
    EXPECT_NE(network.error().message().find(row.says), std::string::npos)
        << network.error().message();
  }
}

TEST(NetworkRequest, IsRead) {
  auto network = Parse(
      R"({"Name":"mine","Driver":"bridge","Internal":true,"Labels":{"a":"b"},"Options":{)"
      R"("com.docker.network.bridge.enable_ip_masquerade":"false","com.docker.network.driver.mtu":"1400",)"
      R"("com.docker.network.bridge.name":"mine0","other":"x"},"IPAM":{"Config":[{"Subnet":"10.1.2.3/24",)"
      R"("Gateway":"10.1.2.9","IPRange":"10.1.2.128/25"}]}})");
  ASSERT_TRUE(network) << network.error().message();
  EXPECT_TRUE(network->internal);
  EXPECT_FALSE(network->masquerade);
  EXPECT_EQ(network->mtu, 1400u);
  EXPECT_EQ(network->bridge, "mine0");
  EXPECT_EQ(network->subnet.Text(), "10.1.2.0/24");
  EXPECT_EQ(network->gateway.Text(), "10.1.2.9");
  EXPECT_EQ(network->range->Text(), "10.1.2.128/25");
}

TEST(NetworkRequest, IsRefused) {
  ExpectRefused({
      {R"({})", Errc::kInvalid, "name cannot be empty"},
      {R"({"Name":"a/b"})", Errc::kInvalid, "a/b"},
      {R"({"Name":"a","Driver":"macvlan"})", Errc::kUnsupported, "macvlan"},
      {R"({"Name":"a","EnableIPv6":true})", Errc::kUnsupported, "IPv6"},
      {R"({"Name":"a","Labels":{"x":1}})", Errc::kInvalid, "Labels"},
      {R"({"Name":"a","IPAM":{"Driver":"dhcp"}})", Errc::kUnsupported, "dhcp"},
      {R"({"Name":"a","IPAM":{"Config":[{"Gateway":"10.0.0.1"}]}})", Errc::kInvalid, "subnet"},
      {R"({"Name":"a","IPAM":{"Config":[{"Subnet":"10.0.0.0/8"},{"Subnet":"11.0.0.0/8"}]}})",
       Errc::kUnsupported, "more than one"},
      {R"({"Name":"a","Options":{"com.docker.network.driver.mtu":"12"}})", Errc::kInvalid, "mtu"},
      {R"({"Name":"a","Options":{"com.docker.network.bridge.enable_icc":"false"}})",
       Errc::kUnsupported, "enable_icc"},
  });
}

std::string Overlay(std::string_view options, std::string_view pool) {
  return Cat(R"({"Name":"site","Driver":"overlay","Options":{)", options,
             R"(},"IPAM":{"Config":[{)", pool, "}]}}");
}
constexpr char kPool[] = R"("Subnet":"10.80.0.0/16","IPRange":"10.80.1.0/24")";

TEST(OverlayRequest, IsRead) {
  auto network = Parse(Overlay(R"("peers":"192.0.2.11, 192.0.2.12,192.0.2.11","vni":"4711",)"
                               R"("local":"192.0.2.10","port":"8472")",
                               kPool));
  ASSERT_TRUE(network) << network.error().message();
  ASSERT_TRUE(network->tunnel);
  EXPECT_EQ(network->tunnel->vni, 4711u);
  EXPECT_EQ(network->tunnel->port, 8472);
  EXPECT_EQ(network->tunnel->NamesPort(), 8473);
  EXPECT_EQ(network->tunnel->local.Text(), "192.0.2.10");
  ASSERT_EQ(network->tunnel->peers.size(), 2u);
  EXPECT_EQ(network->tunnel->peers[1].Text(), "192.0.2.12");
  EXPECT_EQ(network->gateway.Text(), "10.80.1.1");
  EXPECT_EQ(network->mtu, 1450u);
}

TEST(OverlayRequest, DevicesAgreeOnTheNumber) {
  auto one = Parse(Overlay(R"("peers":"192.0.2.12")", kPool));
  auto two = Parse(Overlay(R"("peers":"192.0.2.11","com.docker.network.driver.mtu":"1400")",
                           R"("Subnet":"10.80.2.2/16","IPRange":"10.80.2.0/24")"));
  auto other = Parse(
      Overlay(R"("peers":"192.0.2.12")", R"("Subnet":"10.81.0.0/16","IPRange":"10.81.1.0/24")"));
  ASSERT_TRUE(one && two && other);
  EXPECT_EQ(one->tunnel->vni, two->tunnel->vni);
  EXPECT_NE(one->tunnel->vni, other->tunnel->vni);
  EXPECT_EQ(two->mtu, 1400u);
  // It is told, and the record has it.
  EXPECT_EQ(one->options.at("com.docker.network.driver.overlay.vxlanid_list"),
            Cat(one->tunnel->vni));
}

TEST(OverlayRequest, IsRefused) {
  constexpr char kPeers[] = R"("peers":"192.0.2.12")";
  ExpectRefused({
      {Overlay("", kPool), Errc::kInvalid, "needs --opt peers="},
      {Overlay(R"("peers":"")", kPool), Errc::kInvalid, "peers="},
      {Overlay(R"("peers":"a")", kPool), Errc::kInvalid, "'a'"},
      {Overlay(R"("peers":"127.0.0.1")", kPool), Errc::kInvalid, "not the address of a device"},
      {Overlay(R"("peers":"224.0.0.1")", kPool), Errc::kInvalid, "not the address of a device"},
      {Overlay(R"("peers":"10.80.7.7")", kPool), Errc::kInvalid, "of the network itself"},
      {Overlay(R"("peers":"192.0.2.1","local":"192.0.2.1")", kPool), Errc::kInvalid, "this device"},
      {Overlay(kPeers, R"("Subnet":"")"), Errc::kInvalid, "--subnet"},
      {Overlay(kPeers, R"("Subnet":"10.80.0.0/16")"), Errc::kInvalid, "--ip-range"},
      {Overlay(kPeers, R"("Subnet":"10.80.0.0/16","IPRange":"10.80.0.0/16")"), Errc::kInvalid,
       "smaller than its subnet"},
      {Overlay(kPeers, Cat(kPool, R"(,"Gateway":"10.80.0.1")")), Errc::kInvalid, "gateway"},
      {Overlay(R"("peers":"192.0.2.12","encrypted":"")", kPool), Errc::kUnsupported, "WireGuard"},
      {Overlay(R"("peers":"192.0.2.12","peer":"192.0.2.13")", kPool), Errc::kInvalid, "peer="},
      {Overlay(R"("peers":"192.0.2.12","vni":"0")", kPool), Errc::kInvalid, "vni=0"},
      {Overlay(R"("peers":"192.0.2.12","vni":"16777216")", kPool), Errc::kInvalid, "16777215"},
      {Overlay(R"("peers":"192.0.2.12","port":"65535")", kPool), Errc::kInvalid, "port=65535"},
  });
}

TEST(OverlayRequest, HasABoundOnPeers) {
  std::string peers = "192.0.2.1";
  for (int i = 2; i <= 65; ++i)
    Append(peers, ",192.0.2.", i);
  auto network = Parse(Overlay(Cat(R"("peers":")", peers, "\""), kPool));
  ASSERT_FALSE(network);
  EXPECT_EQ(network.error().code(), Errc::kUnsupported);
}

TEST(NetworkRecord, OfAnOverlaySurvivesItsText) {
  auto network = Parse(Overlay(R"("peers":"192.0.2.12")", kPool));
  ASSERT_TRUE(network);
  network->id = std::string(64, 'a');
  network->bridge = "br-aaaaaaaaaaaa";
  auto again = ParseNetworkRecord(NetworkRecordJson(*network));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(NetworkRecordJson(*again), NetworkRecordJson(*network));
  EXPECT_EQ(again->driver, NetworkDriver::kOverlay);
  EXPECT_EQ(again->tunnel->vni, network->tunnel->vni);
  EXPECT_EQ(again->gateway, network->gateway);
}

TEST(NetworkRecord, SurvivesItsText) {
  auto network =
      Parse(R"({"Name":"mine","Labels":{"a":"b"},"IPAM":{"Config":[{"Subnet":"10.1.0.0/16",)"
            R"("Gateway":"10.1.0.1"}]}})");
  ASSERT_TRUE(network);
  network->id = std::string(64, 'a');
  network->bridge = "br-aaaaaaaaaaaa";
  network->created_nanos = 1'700'000'000'000'000'001;
  auto again = ParseNetworkRecord(NetworkRecordJson(*network));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(NetworkRecordJson(*again), NetworkRecordJson(*network));
  EXPECT_EQ(again->bridge, network->bridge);
  EXPECT_FALSE(ParseNetworkRecord("{}"));
  EXPECT_FALSE(ParseNetworkRecord(R"({"version":2})"));
}

}  // namespace
}  // namespace wherry::engine
