#include "engine/compose/body.h"

#include <gtest/gtest.h>

#include "core/base/json.h"
#include "tests/unit/engine/compose/loading.h"

namespace wherry::compose {
namespace {

constexpr const char* kText =
    "services:\n"
    "  web:\n"
    "    image: nginx\n"
    "    command: serve\n"
    "    environment: {B: 2, A: 1}\n"
    "    ports: ['8080:80', '127.0.0.1:53:53/udp']\n"
    "    expose: [9000]\n"
    "    volumes: ['data:/data', './site:/site:ro', '/anon', {type: volume, source: data, target: "
    "/x, volume: "
    "{nocopy: true}}]\n"
    "    networks: {front: {aliases: [www], ipv4_address: 10.9.0.5}, default: }\n"
    "    depends_on: {db: {condition: service_healthy}}\n"
    "    labels: {mine: 1}\n"
    "    mem_limit: 1m\n"
    "  db: {image: x}\n"
    "networks: {front: {ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.1}]}}}\n"
    "volumes: {data: {driver_opts: {type: tmpfs}}}\n";

JsonDocument BodyOf(const Group& group, const Instance& instance) {
  auto body = JsonDocument::Parse(ContainerBody(group, group.services[0], instance), "body");
  EXPECT_TRUE(body) << body.error().message();
  return std::move(*body);
}

TEST(Body, OfAContainer) {
  Group group = GroupOf(kText);
  Instance instance;
  instance.name = "shop-web-2";
  instance.number = 2;
  instance.image_id = "sha256:1";
  JsonDocument body = BodyOf(group, instance);
  EXPECT_EQ(body["Image"].str(), "nginx");
  EXPECT_EQ(body["Cmd"].Dump(), R"(["serve"])");
  EXPECT_EQ(body["Env"].Dump(), R"(["A=1","B=2"])");
  EXPECT_EQ(body["ExposedPorts"].Dump(), R"({"53/udp":{},"80/tcp":{},"9000/tcp":{}})");
  JsonValue host = body["HostConfig"];
  EXPECT_EQ(host["Memory"].integer(), 1 << 20);
  EXPECT_EQ(host["NetworkMode"].str(), "shop_default");
  EXPECT_EQ(host["Binds"].Dump(), R"(["shop_data:/data:rw","/srv/shop/site:/site:ro"])");
  EXPECT_EQ(
      host["Mounts"].Dump(),
      R"([{"Type":"volume","Target":"/anon","ReadOnly":false},)"
      R"({"Type":"volume","Source":"shop_data","Target":"/x","ReadOnly":false,"VolumeOptions":{"NoCopy":true}}])");
  EXPECT_EQ(
      host["PortBindings"].Dump(),
      R"({"53/udp":[{"HostIp":"127.0.0.1","HostPort":"53"}],"80/tcp":[{"HostIp":"","HostPort":"8080"}]})");
  JsonValue networks = body["NetworkingConfig"]["EndpointsConfig"];
  EXPECT_EQ(networks["shop_front"]["Aliases"].Dump(), R"(["shop-web-2","web","www"])");
  EXPECT_EQ(networks["shop_front"]["IPAMConfig"]["IPv4Address"].str(), "10.9.0.5");
  EXPECT_EQ(networks["shop_default"]["Aliases"].Dump(), R"(["shop-web-2","web"])");
  JsonValue labels = body["Labels"];
  EXPECT_EQ(labels["mine"].str(), "1");
  EXPECT_EQ(labels[kProjectLabel].str(), "shop");
  EXPECT_EQ(labels[kServiceLabel].str(), "web");
  EXPECT_EQ(labels[kNumberLabel].str(), "2");
  EXPECT_EQ(labels[kOneOffLabel].str(), "False");
  EXPECT_EQ(labels[kImageLabel].str(), "sha256:1");
  EXPECT_EQ(labels["com.docker.compose.depends_on"].str(), "db:service_healthy:false");
  EXPECT_EQ(labels["com.docker.compose.project.config_files"].str(), "/srv/shop/compose.yaml");
  EXPECT_EQ(labels["com.docker.compose.project.working_dir"].str(), "/srv/shop");
}

TEST(Body, OfOneThatRunsBeside) {
  Group group = GroupOf(kText);
  Instance instance;
  instance.name = "other";
  instance.one_off = true;
  instance.auto_remove = true;
  JsonDocument body = BodyOf(group, instance);
  JsonValue front = body["NetworkingConfig"]["EndpointsConfig"]["shop_front"];
  EXPECT_EQ(front["Aliases"].Dump(), R"(["other"])");
  EXPECT_FALSE(front["IPAMConfig"]["IPv4Address"]);
  EXPECT_TRUE(body["HostConfig"]["AutoRemove"].boolean());
  EXPECT_EQ(body["Labels"][kOneOffLabel].str(), "True");
}

TEST(Body, KeepsAnonymousVolumes) {
  Group group = GroupOf(kText);
  Instance instance;
  instance.volumes = {{"f00", "/anon"}, {"ba5", "/of-the-image"}};
  JsonValue mounts;
  JsonDocument body = BodyOf(group, instance);
  mounts = body["HostConfig"]["Mounts"];
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts.at(0)["Target"].str(), "/x");
  EXPECT_EQ(mounts.at(1).Dump(), R"({"Type":"volume","Source":"f00","Target":"/anon"})");
  EXPECT_EQ(mounts.at(2)["Source"].str(), "ba5");
}

TEST(Body, NetworkOfAnother) {
  Group group = GroupOf("services: {a: {image: x, network_mode: 'service:b'}, b: {image: x}}");
  Instance instance;
  instance.network_container = "0123";
  JsonDocument body = BodyOf(group, instance);
  EXPECT_EQ(body["HostConfig"]["NetworkMode"].str(), "container:0123");
  EXPECT_FALSE(body["NetworkingConfig"]);
}

TEST(Body, HashChangesWithWhatMatters) {
  Group group = GroupOf(kText);
  std::string hash = ConfigHash(group, group.services[0]);
  EXPECT_EQ(hash.size(), 64U);
  Group same = GroupOf(kText);
  same.services[0].depends_on.clear();
  same.services[0].scale = 7;
  same.services[0].profiles = {"p"};
  EXPECT_EQ(ConfigHash(same, same.services[0]), hash);
  Group other = GroupOf(kText);
  other.services[0].environment["A"] = "2";
  EXPECT_NE(ConfigHash(other, other.services[0]), hash);
  other = GroupOf(kText);
  other.services[0].labels["mine"] = "2";
  EXPECT_NE(ConfigHash(other, other.services[0]), hash);
}

TEST(Body, NetworksAndVolumes) {
  Group group = GroupOf(kText);
  auto network = JsonDocument::Parse(NetworkBody(group, *group.FindNetwork("front")), "network");
  ASSERT_TRUE(network);
  EXPECT_EQ((*network)["Name"].str(), "shop_front");
  EXPECT_EQ((*network)["IPAM"]["Config"].Dump(),
            R"([{"Subnet":"10.9.0.0/24","Gateway":"10.9.0.1"}])");
  EXPECT_EQ((*network)["Labels"]["com.docker.compose.network"].str(), "front");
  auto volume = JsonDocument::Parse(VolumeBody(group, *group.FindVolume("data")), "volume");
  ASSERT_TRUE(volume);
  EXPECT_EQ((*volume)["DriverOpts"].Dump(), R"({"type":"tmpfs"})");
  EXPECT_EQ((*volume)["Labels"]["com.docker.compose.volume"].str(), "data");
  EXPECT_EQ((*volume)["Labels"][kHashLabel].str(), VolumeHash(*group.FindVolume("data")));
}

TEST(Body, Names) {
  Group group = GroupOf("services: {a: {image: x}, b: {image: x, container_name: own}}");
  EXPECT_EQ(ContainerName(group, group.services[0], 3), "shop-a-3");
  EXPECT_EQ(ContainerName(group, group.services[1], 1), "own");
}

}  // namespace
}  // namespace wherry::compose
