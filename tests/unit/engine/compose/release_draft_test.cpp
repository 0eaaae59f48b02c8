#include "engine/compose/release_draft.h"

#include <gtest/gtest.h>

#include "tests/unit/engine/compose/loading.h"

namespace wherry::compose {
namespace {

constexpr const char* kText =
    "services:\n"
    "  web:\n"
    "    image: nginx\n"
    "    ports: ['8080:80']\n"
    "    volumes: ['data:/data', '/dev/ttyUSB0:/dev/plc']\n"
    "    depends_on: [db]\n"
    "    labels: {mine: 1}\n"
    "  db: {image: postgres, networks: [old]}\n"
    "  debug: {image: tools, profiles: [debug]}\n"
    "networks: {old: {external: true}}\n"
    "volumes: {data: }\n";

Result<std::string> DraftOf(const std::string& text, std::string_view base = "{}") {
  Group group = GroupOf(text);
  auto services = SelectServices(group, {}, {}, Dependencies::kInclude).value();
  JsonDocument document = JsonDocument::Parse(base, "base").value();
  return ReleaseDraft(group, services, document.root());
}

JsonDocument Draft(const std::string& text, std::string_view base = "{}") {
  return JsonDocument::Parse(DraftOf(text, base).value(), "draft").value();
}

TEST(ReleaseDraft, AppsNetworksVolumes) {
  JsonDocument draft = Draft(kText);
  EXPECT_EQ(draft["name"].str(), "shop");
  ASSERT_EQ(draft["apps"].size(), 2U);  // without the one of a profile
  JsonValue web;
  for (JsonValue app : draft["apps"]) {
    if (app["name"].str() == "web")
      web = app;
  }
  EXPECT_EQ(web["image"].str(), "nginx");
  EXPECT_EQ(web["after"].strings(), std::vector<std::string>{"db"});
  JsonValue config = web["config"];
  EXPECT_FALSE(config["Image"]);
  EXPECT_EQ(config["Labels"].Dump(), R"({"mine":"1"})") << "nothing of docker compose";
  EXPECT_EQ(config["HostConfig"]["PortBindings"]["80/tcp"].Dump(),
            R"([{"HostIp":"","HostPort":"8080"}])");
  EXPECT_EQ(config["NetworkingConfig"]["EndpointsConfig"]["shop_default"]["Aliases"].strings(),
            std::vector<std::string>{"web"});
  ASSERT_EQ(draft["networks"].size(), 1U) << "an external one is the device's";
  EXPECT_EQ((*draft["networks"].begin())["name"].str(), "shop_default");
  EXPECT_FALSE((*draft["networks"].begin())["config"]["Name"]);
  EXPECT_EQ((*draft["volumes"].begin())["name"].str(), "shop_data");
}

TEST(ReleaseDraft, BaseGoesOverTheGroup) {
  JsonDocument draft = Draft(kText, R"({"name":"gateway","seq":7,"trial":{"soak_s":5},
      "apps":[{"name":"web","strategy":"handover","after":[]},{"name":"own","image":"x"}],
      "volumes":[{"name":"shop_data","config":{"Labels":{"a":"b"}}},{"name":"other"}]})");
  EXPECT_EQ(draft["name"].str(), "gateway");
  EXPECT_EQ(draft["seq"].integer(), 7);
  EXPECT_EQ(draft["trial"]["soak_s"].integer(), 5);
  std::string names;
  for (JsonValue app : draft["apps"]) {
    Append(names, app["name"].str(), " ");
    if (app["name"].str() == "web") {
      EXPECT_EQ(app["strategy"].str(), "handover");
      EXPECT_EQ(app["after"].size(), 0U);
      EXPECT_EQ(app["image"].str(), "nginx");
    }
  }
  EXPECT_EQ(names, "db web own ");
  EXPECT_EQ((*draft["volumes"].begin())["config"].Dump(), R"({"Labels":{"a":"b"}})");
  EXPECT_EQ(draft["volumes"].size(), 2U);
}

TEST(ReleaseDraft, WhatADeviceCannotHave) {
  auto refusal = [](const std::string& service) {
    auto draft = DraftOf(Cat("services: {web: {image: x, ", service, "}, db: {image: y}}\n"));
    EXPECT_TRUE(!draft && draft.error().code() == Errc::kUnsupported);
    return draft ? std::string() : draft.error().message();
  };
  EXPECT_EQ(refusal("volumes: ['./site:/site']"),
            "service web: /srv/shop/site is on this machine, not on the device: use a volume, or "
            "put it into the image");
  EXPECT_EQ(refusal("scale: 2"),
            "service web: more than one container of a service is not supported in releases");
  EXPECT_EQ(refusal("network_mode: 'service:db'"),
            "service web: network_mode \"service:...\" is not supported in releases");
}

}  // namespace
}  // namespace wherry::compose
