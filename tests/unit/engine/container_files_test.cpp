#include "engine/container_files.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

TEST(HostsFile, HasTheContainersName) {
  ContainerConfig config;
  config.host.extra_hosts = {"db:10.0.0.2", "six:[::2]", "eq=10.0.0.3"};
  std::string text = HostsFile(config, {.mode = "none", .addresses = {}, .gateway = {}}, "web",
                               "1.2.3.4 machine\n");
  EXPECT_NE(text.find("127.0.0.1\tlocalhost\n"), std::string::npos);
  EXPECT_NE(text.find("127.0.1.1\tweb\n"), std::string::npos);
  EXPECT_NE(text.find("10.0.0.2\tdb\n"), std::string::npos);
  EXPECT_NE(text.find("::2\tsix\n"), std::string::npos);
  EXPECT_NE(text.find("10.0.0.3\teq\n"), std::string::npos);
  EXPECT_EQ(text.find("machine"), std::string::npos);
}

TEST(HostsFile, OfTheHostNetworkIsTheMachines) {
  ContainerConfig config;
  config.host.extra_hosts = {"db:10.0.0.2"};
  EXPECT_EQ(
      HostsFile(config, {.mode = "host", .addresses = {}, .gateway = {}}, "web", "1.2.3.4 machine"),
      "1.2.3.4 machine\n10.0.0.2\tdb\n");
}

TEST(ResolvFile, OptionsReplaceTheirLines) {
  constexpr std::string_view kHost = "# comment\nnameserver 1.1.1.1\nsearch lan\noptions ndots:1\n";
  HostOptions options;
  EXPECT_EQ(ResolvFile(options, false, kHost), kHost);
  options.dns = {"9.9.9.9", "8.8.8.8"};
  EXPECT_EQ(ResolvFile(options, false, kHost),
            "# comment\nsearch lan\noptions ndots:1\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n");
  options.dns_search = {"."};
  options.dns_options = {"edns0"};
  EXPECT_EQ(ResolvFile(options, false, kHost),
            "# comment\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions edns0\n");
}

TEST(HostsFile, OfABridgeHasTheAddresses) {
  ContainerConfig config;
  config.host.extra_hosts = {"out:host-gateway"};
  std::string text =
      HostsFile(config, {"mine", {{0x0a000002}, {0x0a010002}}, {0x0a000001}, true}, "web", "");
  EXPECT_NE(text.find("\n10.0.0.2\tweb\n10.1.0.2\tweb\n10.0.0.1\tout\n"), std::string::npos);
  EXPECT_EQ(text.find("127.0.1.1"), std::string::npos);
}

TEST(ResolvFile, OfABridgeNamesTheEnginesResolver) {
  HostOptions options;
  options.dns = {"9.9.9.9"};  // which the resolver asks
  EXPECT_EQ(ResolvFile(options, true, "nameserver 1.1.1.1\nsearch lan\n"),
            "search lan\nnameserver 127.0.0.11\n");
}

TEST(EffectiveHostname, PrefersTheGivenOne) {
  ContainerConfig config;
  EXPECT_EQ(EffectiveHostname(config, "none", std::string(64, 'a')), std::string(12, 'a'));
  config.hostname = "web";
  EXPECT_EQ(EffectiveHostname(config, "host", "a"), "web");
}

TEST(CheckBindSources, MakesDirectoriesForVolumesOnly) {
  TempDir directory;
  ContainerConfig config;
  MountRequest mount;
  mount.source = directory / "made/deep";
  mount.target = "/a";
  mount.create_source = true;
  config.host.mounts.push_back(mount);
  ASSERT_TRUE(CheckBindSources(config, MissingSource::kReportOnly));
  EXPECT_FALSE(PathExists(directory / "made"));
  ASSERT_TRUE(CheckBindSources(config, MissingSource::kCreate));
  EXPECT_TRUE(PathExists(directory / "made/deep"));
  mount.source = directory / "absent";
  mount.create_source = false;
  config.host.mounts.push_back(mount);
  auto refused = CheckBindSources(config, MissingSource::kReportOnly);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kInvalid);
  EXPECT_NE(refused.error().message().find("bind source path does not exist"), std::string::npos);
}

}  // namespace
}  // namespace wherry::engine
