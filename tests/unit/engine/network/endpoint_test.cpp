#include "engine/network/endpoint.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

JsonDocument Json(std::string_view text) {
  auto document = JsonDocument::Parse(text, "text");
  EXPECT_TRUE(document) << text;
  return std::move(*document);
}

TEST(Port, IsParsed) {
  auto port = ParsePort("8000-8010/udp");
  ASSERT_TRUE(port);
  EXPECT_TRUE(port->first == 8000 && port->last == 8010 && port->protocol == IPPROTO_UDP);
  for (const char* text : {"", "0", "80/icmp", "80-", "90-80", "65536", "x", "80/"})
    EXPECT_FALSE(ParsePort(text)) << text;
}

TEST(PortBindings, ComeFromBothPlaces) {
  auto host = Json(R"({"PublishAllPorts":true,"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1",)"
                   R"("HostPort":"8080"},{"HostPort":"9000-9001"}],"81/tcp":null}})");
  auto exposed = Json(R"({"80/tcp":{},"53/udp":{}})");
  auto ports = ParsePortBindings(host.root(), exposed.root());
  ASSERT_TRUE(ports) << ports.error().message();
  ASSERT_EQ(ports->size(), 3u);
  EXPECT_TRUE((*ports)[0].first_port == 8080 && (*ports)[0].host_address.IsLoopback());
  EXPECT_TRUE((*ports)[1].first_port == 9000 && (*ports)[1].last_port == 9001);
  EXPECT_TRUE((*ports)[2].container_port == 53 && (*ports)[2].first_port == 0);
  auto all = Json(R"({"1-65535/tcp":{}})");
  EXPECT_FALSE(ParsePortBindings(host.root(), all.root())) << "too many";
}

TEST(Endpoints, TheNetworkOfTheModeComesFirst) {
  auto asked = Json(R"({"EndpointsConfig":{"a":{},"mine":{"Aliases":["x"],"MacAddress":)"
                    R"("02:00:00:00:00:01","IPAMConfig":{"IPv4Address":"10.0.0.9"}}}})");
  auto endpoints = RequestedEndpoints(asked.root(), "mine");
  ASSERT_TRUE(endpoints);
  ASSERT_EQ(endpoints->size(), 2u);
  EXPECT_EQ((*endpoints)[0].network, "mine");
  EXPECT_EQ((*endpoints)[0].address.Text(), "10.0.0.9");
  auto again = ReadEndpoints(Json(EndpointsJson(*endpoints)).root());
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)[0].aliases, std::vector<std::string>{"x"});
  EXPECT_EQ((*again)[0].mac, (*endpoints)[0].mac);
  EXPECT_EQ((*again)[1].network, "a");
}

TEST(Endpoints, DefaultMeansTheMode) {
  auto asked = Json(R"({"EndpointsConfig":{"default":{"Aliases":["x"]}}})");
  auto endpoints = RequestedEndpoints(asked.root(), "bridge");
  ASSERT_TRUE(endpoints);
  ASSERT_EQ(endpoints->size(), 1u);
  EXPECT_EQ((*endpoints)[0].network, "bridge");
  EXPECT_TRUE(RequestedEndpoints(asked.root(), "host")->empty());
  EXPECT_TRUE(RequestedEndpoints(asked.root(), "container:x")->empty());
}

TEST(Attachment, SurvivesItsText) {
  Attachment attachment;
  Endpoint endpoint;
  endpoint.id = "1";
  endpoint.network_id = "2";
  endpoint.interface = "eth0";
  endpoint.host_interface = "veth1";
  endpoint.address = {0x0a000002};
  endpoint.prefix = 24;
  endpoint.gateway = {0x0a000001};
  endpoint.mac = {2, 0, 0, 0, 0, 1};
  endpoint.names = {"web"};
  attachment.endpoints.push_back(endpoint);
  attachment.ports.push_back({IPPROTO_UDP, 53, {}, 5300});
  auto again = ParseAttachment(AttachmentJson(attachment));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(AttachmentJson(*again), AttachmentJson(attachment));
  EXPECT_FALSE(ParseAttachment(R"({"endpoints":[{"address":"x"}]})"));
}

}  // namespace
}  // namespace wherry::engine
