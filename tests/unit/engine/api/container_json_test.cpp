#include "engine/api/container_json.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "core/oci/image_spec.h"

namespace wherry::engine::api {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

Container Example() {
  oci::ImageConfig image;
  image.entrypoint = {"/bin/sh"};
  image.cmd = {"-c", "echo hello"};
  auto body = JsonDocument::Parse(
      R"({"Image":"nginx","Labels":{"a":"b"},"HostConfig":{"Binds":["/tmp:/data:ro"],"Tmpfs":{"/run":""}}})",
      "body");
  auto request = NormaliseRequest(body->root(), image, {"0123456789ab", "none"});
  auto config = ParseContainerConfig(std::move(*request));
  Container container;
  container.id = std::string(64, 'a');
  container.name = "web";
  container.created_nanos = 1'700'000'000 * kSecond;
  container.image_id = Digest::Of("image");
  container.config = std::make_shared<const ContainerConfig>(std::move(*config));
  container.directory = "/var/lib/wherry/containers/a";
  container.run_directory = "/run/wherry/c/a";
  return container;
}

TEST(StatusText, IsDockers) {
  Container container = Example();
  int64_t now = 10'000 * kSecond;
  EXPECT_EQ(StatusText(container, now), "Created");
  container.state = ContainerState::kRunning;
  container.status.started_nanos = now - 5 * kSecond;
  EXPECT_EQ(StatusText(container, now), "Up 5 seconds");
  container.state = ContainerState::kPaused;
  EXPECT_EQ(StatusText(container, now), "Up 5 seconds (Paused)");
  container.state = ContainerState::kExited;
  container.status.exit_code = 137;
  container.status.finished_nanos = now - 120 * kSecond;
  EXPECT_EQ(StatusText(container, now), "Exited (137) 2 minutes ago");
}

TEST(CommandText, QuotesArgumentsWithSpaces) {
  EXPECT_EQ(CommandText({"sh", "-c", "echo hi"}), "sh -c 'echo hi'");
  EXPECT_EQ(CommandText({"top"}), "top");
}

TEST(ContainerInspect, HasDockersFields) {
  Container container = Example();
  auto parsed = JsonDocument::Parse(ContainerInspectJson(container, Networks({})), "inspect");
  ASSERT_TRUE(parsed) << parsed.error().message();
  JsonValue json = parsed->root();
  for (std::string_view key :
       {"Id",           "Created",         "Path",           "Args",       "State",
        "Image",        "ResolvConfPath",  "HostnamePath",   "HostsPath",  "LogPath",
        "Name",         "RestartCount",    "Driver",         "Platform",   "MountLabel",
        "ProcessLabel", "AppArmorProfile", "ExecIDs",        "HostConfig", "GraphDriver",
        "Mounts",       "Config",          "NetworkSettings"}) {
    EXPECT_TRUE(static_cast<bool>(json[key])) << key;
  }
  EXPECT_EQ(json["Name"].str(), "/web");
  EXPECT_EQ(json["Path"].str(), "/bin/sh");
  EXPECT_EQ(json["Args"].strings(), (std::vector<std::string>{"-c", "echo hello"}));
  EXPECT_EQ(json["Created"].str(), "2023-11-14T22:13:20.000000000Z");
  EXPECT_EQ(json["State"]["StartedAt"].str(), "0001-01-01T00:00:00Z");
  EXPECT_EQ(json["State"]["Status"].str(), "created");
  ASSERT_EQ(json["Mounts"].size(), 2U);
  EXPECT_EQ(json["Mounts"].at(0)["Source"].str(), "/tmp");
  EXPECT_FALSE(json["Mounts"].at(0)["RW"].boolean(true));
  EXPECT_EQ(json["Mounts"].at(1)["Type"].str(), "tmpfs");
  EXPECT_EQ(json["Config"]["Hostname"].str(), "0123456789ab");
  EXPECT_TRUE(json["NetworkSettings"]["Networks"]["none"].IsObject());
}

TEST(ContainerSummary, HasDockersFields) {
  Container container = Example();
  JsonWriter writer;
  WriteContainerSummary(writer, container, Networks({}), 1'700'000'100 * kSecond);
  auto parsed = JsonDocument::Parse(writer.text(), "summary");
  ASSERT_TRUE(parsed);
  JsonValue json = parsed->root();
  EXPECT_EQ(json["Names"].strings(), (std::vector<std::string>{"/web"}));
  EXPECT_EQ(json["Command"].str(), "/bin/sh -c 'echo hello'");
  EXPECT_EQ(json["Created"].integer(), 1'700'000'000);
  EXPECT_TRUE(json["Ports"].IsArray());
  EXPECT_EQ(json["Labels"]["a"].str(), "b");
  EXPECT_EQ(json["HostConfig"]["NetworkMode"].str(), "none");
}

}  // namespace
}  // namespace wherry::engine::api
