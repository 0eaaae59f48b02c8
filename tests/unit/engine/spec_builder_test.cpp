#include "engine/spec_builder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/oci/image_spec.h"
#include "core/oci/runtime_spec.h"

namespace wherry::engine {
namespace {

ContainerConfig Config(std::string_view body) {
  oci::ImageConfig image;
  image.cmd = {"sh"};
  auto document = JsonDocument::Parse(body, "body");
  EXPECT_TRUE(document) << body;
  auto request = NormaliseRequest(document->root(), image, {"0123456789ab", "bridge"});
  EXPECT_TRUE(request) << (request ? "" : request.error().message());
  auto config = ParseContainerConfig(std::move(*request));
  EXPECT_TRUE(config) << (config ? "" : config.error().message());
  return config ? std::move(*config) : ContainerConfig();
}

// The configuration as the runtime reads it, so that both sides agree.
oci::RuntimeSpec Spec(std::string_view body, std::string_view network = "none") {
  ContainerConfig config = Config(body);
  SpecInput input{config,  "0123456789abcdef", "0123456789ab",
                  network, "/run/wherry/c/x",  "/wherry/c/x"};
  auto json = BuildRuntimeConfig(input);
  EXPECT_TRUE(json) << (json ? "" : json.error().message());
  auto spec = oci::RuntimeSpec::Parse(json ? *json : "{}");
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().message());
  return spec ? std::move(*spec) : oci::RuntimeSpec();
}

const oci::Mount* FindMount(const oci::RuntimeSpec& spec, std::string_view destination) {
  auto found = std::ranges::find(spec.mounts, destination, &oci::Mount::destination);
  return found == spec.mounts.end() ? nullptr : &*found;
}

bool HasOption(const oci::Mount* mount, std::string_view option) {
  return mount != nullptr && std::ranges::find(mount->options, option) != mount->options.end();
}

bool Contains(const std::vector<std::string>& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

TEST(SpecBuilder, IdsOfARemappedContainer) {
  ContainerConfig config = Config(R"({"Image":"x","HostConfig":{"Binds":["data:/data"]}})");
  IdMaps ids{{{0, 100000, 65536}}, {{0, 200000, 65536}}};
  SpecInput input{config, "0123456789abcdef", "0123456789ab",
                  "none", "/run/wherry/c/x",  "/wherry/c/x"};
  input.ids = &ids;
  auto json = BuildRuntimeConfig(input);
  ASSERT_TRUE(json) << json.error().message();
  auto spec = oci::RuntimeSpec::Parse(*json);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_TRUE(spec->MakesNamespace(oci::NamespaceType::kUser));
  EXPECT_EQ(OutsideId(spec->uid_mappings, 1), 100001U);
  EXPECT_EQ(OutsideId(spec->gid_mappings, 1), 200001U);
  EXPECT_TRUE(HasOption(FindMount(*spec, "/data"), "idmap"));
  EXPECT_FALSE(HasOption(FindMount(*spec, "/etc/hosts"), "idmap"));
  EXPECT_FALSE(spec->sysctl.contains("net.ipv4.ping_group_range"));
  config.host.privileged = true;
  EXPECT_FALSE(BuildRuntimeConfig(input));
}

TEST(SpecBuilder, DefaultsAreDockers) {
  oci::RuntimeSpec spec = Spec(R"({"Image":"x"})");
  EXPECT_EQ(spec.process.args, (std::vector<std::string>{"sh"}));
  EXPECT_EQ(spec.process.cwd, "/");
  EXPECT_EQ(spec.process.user.username, "0");
  EXPECT_EQ(spec.hostname, "0123456789ab");
  EXPECT_FALSE(spec.root_readonly);
  EXPECT_FALSE(spec.process.no_new_privileges);
  ASSERT_TRUE(spec.process.capabilities);
  EXPECT_EQ(spec.process.capabilities->bounding.size(), 14U);
  EXPECT_EQ(spec.process.capabilities->effective, spec.process.capabilities->bounding);
  EXPECT_TRUE(spec.process.capabilities->inheritable.empty());
  EXPECT_TRUE(spec.process.capabilities->ambient.empty());
  EXPECT_TRUE(Contains(spec.process.capabilities->bounding, "CAP_NET_RAW"));
  EXPECT_EQ(spec.namespaces.size(), 6U);
  EXPECT_TRUE(Contains(spec.masked_paths, "/proc/kcore"));
  EXPECT_TRUE(Contains(spec.masked_paths, "/sys/firmware"));
  EXPECT_TRUE(Contains(spec.readonly_paths, "/proc/sysrq-trigger"));
  EXPECT_EQ(spec.sysctl.at("net.ipv4.ip_unprivileged_port_start"), "0");
  EXPECT_EQ(spec.cgroups_path, "/wherry/c/x");
  EXPECT_TRUE(spec.process.rlimits.empty());
  EXPECT_FALSE(spec.resources.memory.limit);
  EXPECT_FALSE(spec.resources.pids_limit);
}

TEST(SpecBuilder, DefaultMountsAreDockers) {
  oci::RuntimeSpec spec = Spec(R"({"Image":"x"})");
  for (std::string_view place :
       {"/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
        "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    EXPECT_NE(FindMount(spec, place), nullptr) << place;
  }
  EXPECT_TRUE(HasOption(FindMount(spec, "/sys"), "ro"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/sys/fs/cgroup"), "ro"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/dev/shm"), "size=67108864"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/dev/pts"), "ptmxmode=0666"));
  EXPECT_EQ(FindMount(spec, "/etc/hosts")->source, "/run/wherry/c/x/hosts");
}

TEST(SpecBuilder, DeviceRulesDenyFirst) {
  oci::RuntimeSpec spec = Spec(
      R"({"Image":"x","HostConfig":{"Devices":[{"PathOnHost":"/dev/zero","PathInContainer":"/dev/z",
      "CgroupPermissions":"r"}],"DeviceCgroupRules":["b 7:* rwm"]}})");
  const auto& rules = spec.resources.devices;
  ASSERT_GE(rules.size(), 9U);
  EXPECT_FALSE(rules[0].allow);
  EXPECT_EQ(rules[0].type, 'a');
  const oci::DeviceRule& zero = rules[rules.size() - 2];
  EXPECT_TRUE(zero.allow && zero.read && !zero.write);
  EXPECT_EQ(zero.minor, 5U);
  const oci::DeviceRule& loop = rules.back();
  EXPECT_TRUE(loop.allow && loop.type == 'b' && !loop.minor);
  ASSERT_EQ(spec.devices.size(), 1U);
  EXPECT_EQ(spec.devices[0].path, "/dev/z");
}

TEST(SpecBuilder, MissingDevicesAreNamed) {
  ContainerConfig config =
      Config(R"({"Image":"x","HostConfig":{"Devices":[{"PathOnHost":"/dev/no-such-thing"}]}})");
  auto json = BuildRuntimeConfig({config, "id", "h", "none", "/r", "/c"});
  ASSERT_FALSE(json);
  EXPECT_EQ(json.error().code(), Errc::kInvalid);
  EXPECT_NE(json.error().message().find("/dev/no-such-thing"), std::string::npos);
}

TEST(SpecBuilder, Privileged) {
  oci::RuntimeSpec spec = Spec(R"({"Image":"x","HostConfig":{"Privileged":true}})");
  EXPECT_GT(spec.process.capabilities->bounding.size(), 30U);
  EXPECT_TRUE(spec.masked_paths.empty());
  EXPECT_TRUE(spec.readonly_paths.empty());
  EXPECT_TRUE(HasOption(FindMount(spec, "/sys"), "rw"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/sys/fs/cgroup"), "rw"));
  ASSERT_EQ(spec.resources.devices.size(), 1U);
  EXPECT_TRUE(spec.resources.devices[0].allow);
  EXPECT_TRUE(std::ranges::any_of(
      spec.devices, [](const oci::Device& device) { return device.path == "/dev/null"; }));
}

TEST(SpecBuilder, CapabilityOptions) {
  struct Row {
    std::string_view host;
    size_t count;
    std::string_view has, lacks;
  };
  constexpr Row kRows[] = {
      {R"({"CapDrop":["ALL"]})", 0, "", "CAP_CHOWN"},
      {R"({"CapDrop":["all"],"CapAdd":["CAP_CHOWN"]})", 1, "CAP_CHOWN", "CAP_KILL"},
      {R"({"CapDrop":["NET_RAW"]})", 13, "CAP_CHOWN", "CAP_NET_RAW"},
      {R"({"CapAdd":["net_admin"]})", 15, "CAP_NET_ADMIN", "CAP_SYS_ADMIN"},
  };
  for (const Row& row : kRows) {
    auto names =
        EffectiveCapabilities(Config(Cat(R"({"Image":"x","HostConfig":)", row.host, "}")).host);
    EXPECT_EQ(names.size(), row.count) << row.host;
    EXPECT_TRUE(row.has.empty() || Contains(names, row.has)) << row.host;
    EXPECT_FALSE(Contains(names, row.lacks)) << row.host;
  }
  auto all = EffectiveCapabilities(
      Config(R"({"Image":"x","HostConfig":{"CapAdd":["ALL"],"CapDrop":["SYS_ADMIN"]}})").host);
  EXPECT_GT(all.size(), 30U);
  EXPECT_FALSE(Contains(all, "CAP_SYS_ADMIN"));
}

TEST(SpecBuilder, EnvironmentIsDockers) {
  ContainerConfig config =
      Config(R"({"Image":"x","Tty":true,"Env":["PATH=/x","A=1","HOSTNAME","B=2=3","A=4"]})");
  EXPECT_EQ(BuildEnvironment(config, "h"),
            (std::vector<std::string>{"PATH=/x", "TERM=xterm", "A=4", "B=2=3"}));
  EXPECT_EQ(BuildEnvironment(Config(R"({"Image":"x"})"), "h")[1], "HOSTNAME=h");
}

TEST(SpecBuilder, HostNamespacesLeaveTheirsOut) {
  oci::RuntimeSpec spec = Spec(
      R"({"Image":"x","HostConfig":{"PidMode":"host","IpcMode":"host","UTSMode":"host","CgroupnsMode":"host"}})",
      "host");
  ASSERT_EQ(spec.namespaces.size(), 1U);
  EXPECT_EQ(spec.namespaces[0].type, oci::NamespaceType::kMount);
  EXPECT_TRUE(spec.hostname.empty());
  EXPECT_FALSE(spec.sysctl.contains("net.ipv4.ping_group_range"));
  EXPECT_EQ(FindMount(spec, "/dev/shm")->type, "bind");
}

TEST(SpecBuilder, ReadOnlyRootKeepsItsWritablePlaces) {
  oci::RuntimeSpec spec =
      Spec(R"({"Image":"x","HostConfig":{"ReadonlyRootfs":true,"Tmpfs":{"/run":"exec,size=1m"}}})");
  EXPECT_TRUE(spec.root_readonly);
  EXPECT_TRUE(HasOption(FindMount(spec, "/etc/hosts"), "ro"));
  const oci::Mount* run = FindMount(spec, "/run");
  EXPECT_FALSE(HasOption(run, "ro"));
  EXPECT_EQ(run->options,
            (std::vector<std::string>{"noexec", "nosuid", "nodev", "rprivate", "exec", "size=1m"}));
}

TEST(SpecBuilder, MountsOfTheUserReplaceDefaults) {
  oci::RuntimeSpec spec = Spec(
      R"({"Image":"x","HostConfig":{"Binds":["/dev:/dev","/tmp/h:/etc/hosts:ro","/tmp/a:/etc:rslave"]}})");
  EXPECT_EQ(FindMount(spec, "/dev")->type, "bind");
  EXPECT_EQ(FindMount(spec, "/dev/pts"), nullptr);
  EXPECT_EQ(FindMount(spec, "/etc/hosts")->source, "/tmp/h");
  EXPECT_LT(FindMount(spec, "/etc"), FindMount(spec, "/etc/hosts"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/etc/hosts"), "rbind"));
  EXPECT_TRUE(HasOption(FindMount(spec, "/etc"), "rslave"));
  EXPECT_EQ(spec.rootfs_propagation, oci::Propagation::kSlave);
}

TEST(SpecBuilder, LimitsReachTheirFields) {
  oci::RuntimeSpec spec =
      Spec(R"({"Image":"x","HostConfig":{"Memory":67108864,"MemoryReservation":33554432,
      "NanoCpus":500000000,"CpuShares":512,"CpusetCpus":"0","PidsLimit":64,"BlkioWeight":300,
      "Ulimits":[{"Name":"nofile","Soft":10,"Hard":20},{"Name":"core","Soft":-1,"Hard":-1}],"OomScoreAdj":100}})");
  EXPECT_EQ(spec.resources.memory.limit, 67108864);
  EXPECT_EQ(spec.resources.memory.reservation, 33554432);
  EXPECT_EQ(spec.resources.memory.swap, 134217728);
  EXPECT_EQ(spec.resources.cpu.quota, 50000);
  EXPECT_EQ(spec.resources.cpu.period, 100000U);
  EXPECT_EQ(spec.resources.cpu.shares, 512U);
  EXPECT_EQ(spec.resources.cpu.cpus, "0");
  EXPECT_EQ(spec.resources.pids_limit, 64);
  EXPECT_EQ(spec.resources.block_io.weight, 300);
  ASSERT_EQ(spec.process.rlimits.size(), 2U);
  EXPECT_EQ(spec.process.rlimits[0].type, "RLIMIT_NOFILE");
  EXPECT_EQ(spec.process.rlimits[0].hard, 20U);
  EXPECT_EQ(spec.process.rlimits[1].soft, UINT64_MAX);
  EXPECT_EQ(spec.process.oom_score_adj, 100);
}

TEST(SpecBuilder, UnlimitedPidsAreNoLimit) {
  EXPECT_FALSE(Spec(R"({"Image":"x","HostConfig":{"PidsLimit":-1}})").resources.pids_limit);
  EXPECT_FALSE(Spec(R"({"Image":"x","HostConfig":{"PidsLimit":0}})").resources.pids_limit);
}

}  // namespace
}  // namespace wherry::engine
