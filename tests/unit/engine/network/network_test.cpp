#include "engine/network/network.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

Result<Network> Parse(std::string_view text) {
  auto document = JsonDocument::Parse(text, "text");
  EXPECT_TRUE(document) << text;
  return ParseNetworkRequest(document->root());
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
  struct Row {
    const char* body;
    Errc code;
    const char* says;
  };
  const Row rows[] = {
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
  };
  for (const Row& row : rows) {
    auto network = Parse(row.body);
    ASSERT_FALSE(network) << row.body;
    EXPECT_EQ(network.error().code(), row.code) << row.body;
    EXPECT_NE(network.error().message().find(row.says), std::string::npos)
        << network.error().message();
  }
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
