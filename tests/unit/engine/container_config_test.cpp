#include "engine/container_config.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "core/oci/image_spec.h"

namespace wherry::engine {
namespace {

oci::ImageConfig NginxImage() {
  oci::ImageConfig image;
  image.env = {"PATH=/bin", "VERSION=1"};
  image.entrypoint = {"/entrypoint.sh"};
  image.cmd = {"nginx", "-g", "daemon off;"};
  image.working_dir = "/srv";
  image.user = "www";
  image.stop_signal = "SIGQUIT";
  image.volumes = {"/var/cache"};
  image.exposed_ports = {"80/tcp"};
  image.labels = {{"from", "image"}, {"both", "image"}};
  return image;
}

Result<ContainerConfig> Create(std::string_view body,
                               const oci::ImageConfig& image = NginxImage()) {
  auto document = TRY(JsonDocument::Parse(body, "body"));
  NormalisedRequest request =
      TRY(NormaliseRequest(document.root(), image, {"0123456789ab", "bridge"}));
  return ParseContainerConfig(std::move(request));
}

ContainerConfig Created(std::string_view body, const oci::ImageConfig& image = NginxImage()) {
  auto config = Create(body, image);
  EXPECT_TRUE(config) << body << ": " << (config ? "" : config.error().message());
  return config ? std::move(*config) : ContainerConfig();
}

std::string HostBody(std::string_view host) {
  return Cat(R"({"Image":"nginx","HostConfig":)", host, "}");
}

JsonDocument Json(const std::string& text) {
  auto document = JsonDocument::Parse(text, "document");
  EXPECT_TRUE(document);
  return std::move(*document);
}

TEST(Normalise, MergesTheImage) {
  ContainerConfig config =
      Created(R"({"Image":"nginx","Env":["VERSION=2","A=b"],"Labels":{"both":"mine"}})");
  EXPECT_EQ(config.args,
            (std::vector<std::string>{"/entrypoint.sh", "nginx", "-g", "daemon off;"}));
  EXPECT_EQ(config.env, (std::vector<std::string>{"VERSION=2", "A=b", "PATH=/bin"}));
  EXPECT_EQ(config.working_dir, "/srv");
  EXPECT_EQ(config.user, "www");
  EXPECT_EQ(config.stop_signal, 3);
  EXPECT_EQ(config.labels,
            (std::map<std::string, std::string>{{"from", "image"}, {"both", "mine"}}));
  JsonDocument json = Json(config.config_json);
  EXPECT_TRUE(json["ExposedPorts"]["80/tcp"].IsObject());
  EXPECT_TRUE(json["Volumes"]["/var/cache"].IsObject());
  EXPECT_EQ(json["Hostname"].str(), "0123456789ab");
}

TEST(Normalise, OwnCommandsFollowDockersRules) {
  struct Row {
    std::string_view body;
    std::vector<std::string> args;
  };
  const Row rows[] = {
      {R"({"Cmd":["sh"]})", {"/entrypoint.sh", "sh"}},
      {R"({"Cmd":"sh"})", {"/entrypoint.sh", "sh"}},
      {R"({"Entrypoint":["top"]})", {"top"}},
      {R"({"Entrypoint":["top"],"Cmd":["-b"]})", {"top", "-b"}},
      {R"({"Entrypoint":[""],"Cmd":["sh"]})", {"sh"}},
      {R"({"Entrypoint":null,"Cmd":null})", {"/entrypoint.sh", "nginx", "-g", "daemon off;"}},
      {R"({"Entrypoint":[],"Cmd":["sh"]})", {"sh"}},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Created(row.body).args, row.args) << row.body;
  auto none = Create(R"({"Image":"scratch"})", oci::ImageConfig());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "no command specified");
}

TEST(Normalise, InspectRoundTripsIntoCreate) {
  ContainerConfig first =
      Created(R"({"Image":"nginx","Tty":true,"Env":["A=b"],"StopTimeout":3,"HostConfig":{
      "Memory":67108864,"CapAdd":["NET_ADMIN"],"Binds":["/tmp:/data:ro"],"Tmpfs":{"/run":"size=1m"},"ShmSize":0,
      "NetworkMode":"none","Privileged":true,"RestartPolicy":{"Name":""},"LogConfig":{"Type":"","Config":null}}})");
  std::string again = first.config_json.substr(0, first.config_json.size() - 1);
  ContainerConfig second = Created(Cat(again, ",\"HostConfig\":", first.host_config_json, "}"));
  EXPECT_EQ(second.config_json, first.config_json);
  EXPECT_EQ(second.host_config_json, first.host_config_json);
}

TEST(Normalise, FillsInDefaultsForWhatDockerCliSends) {
  ContainerConfig config = Created(HostBody(
      R"({"Binds":null,"NetworkMode":"default","RestartPolicy":{"Name":"no"},"ConsoleSize":[24,80],"CapAdd":null,
          "MemorySwappiness":-1,"PidsLimit":0,"ShmSize":0,"MaskedPaths":null,"Devices":[],"Ulimits":null,"Init":null})"));
  JsonDocument host = Json(config.host_config_json);
  EXPECT_EQ(host["ShmSize"].integer(), 64 << 20);
  EXPECT_EQ(host["IpcMode"].str(), "private");
  EXPECT_TRUE(host["Binds"].IsArray());
  EXPECT_GT(host["MaskedPaths"].size(), 10U);
  EXPECT_EQ(host["ReadonlyPaths"].size(), 5U);
  EXPECT_EQ(host["LogConfig"]["Type"].str(), "json-file");
  EXPECT_EQ(config.host.console_rows, 24);
  EXPECT_EQ(config.host.console_columns, 80);
}

TEST(Normalise, EmptyMaskListMeansNone) {
  ContainerConfig config = Created(HostBody(R"({"MaskedPaths":[],"ReadonlyPaths":[]})"));
  EXPECT_TRUE(config.host.masked_paths.empty());
  EXPECT_TRUE(Created(HostBody(R"({"Privileged":true})")).host.masked_paths.empty());
  EXPECT_FALSE(Created(HostBody("{}")).host.masked_paths.empty());
}

TEST(Normalise, MemorySwapFollowsMemory) {
  EXPECT_EQ(Created(HostBody(R"({"Memory":33554432})")).host.limits.memory_swap, 2 * 33554432);
  EXPECT_EQ(Created(HostBody(R"({"Memory":33554432,"MemorySwap":-1})")).host.limits.memory_swap,
            -1);
}

struct Refusal {
  std::string_view body;
  Errc code;
  std::string_view word;  // the message names it
};

class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, NamesWhatIsWrong) {
  auto config = Create(GetParam().body);
  ASSERT_FALSE(config) << GetParam().body;
  EXPECT_EQ(config.error().code(), GetParam().code) << config.error().message();
  EXPECT_NE(config.error().message().find(GetParam().word), std::string::npos)
      << config.error().message();
}

constexpr Refusal kUnsupportedRows[] = {
    {R"({"HostConfig":{"Links":["a:b"]}})", Errc::kUnsupported, "--link"},
    {R"({"HostConfig":{"VolumesFrom":["x"]}})", Errc::kUnsupported, "--volumes-from"},
    {R"({"HostConfig":{"DeviceRequests":[{}]}})", Errc::kUnsupported, "--gpus"},
    {R"({"HostConfig":{"StorageOpt":{"inodes":"1"}}})", Errc::kInvalid, "Unknown option inodes"},
    {R"({"HostConfig":{"StorageOpt":{"size":"1k"}}})", Errc::kInvalid, "at least 1m"},
    {R"({"HostConfig":{"StorageOpt":{"size":"x"}}})", Errc::kInvalid, "--storage-opt size"},
    {R"({"HostConfig":{"CgroupParent":"/x"}})", Errc::kUnsupported, "CgroupParent"},
    {R"({"HostConfig":{"PortBindings":{"80/sctp":[{}]}}})", Errc::kUnsupported, "sctp"},
    {R"({"HostConfig":{"PortBindings":{"0/tcp":[{}]}}})", Errc::kInvalid, "0/tcp"},
    {R"({"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"::"}]}}})", Errc::kUnsupported, "IPv6"},
    {R"({"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"90-80"}]}}})", Errc::kInvalid,
     "90-80"},
    {R"({"Hostname":"a","HostConfig":{"NetworkMode":"container:x"}})", Errc::kInvalid, "hostname"},
    {R"({"HostConfig":{"NetworkMode":"container:x","PortBindings":{"80/tcp":[{}]}}})",
     Errc::kInvalid, "conflicting options"},
    {R"({"HostConfig":{"NetworkMode":"a"},"NetworkingConfig":{"EndpointsConfig":{"host":{}}}})",
     Errc::kInvalid, "host"},
    {R"({"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"x"}}}})", Errc::kInvalid, "x"},
    {R"({"NetworkingConfig":{"EndpointsConfig":{"a":{"Links":["b"]}}}})", Errc::kUnsupported,
     "link"},
    {R"({"HostConfig":{"PidMode":"container:x"}})", Errc::kUnsupported, "PidMode"},
    {R"({"HostConfig":{"UsernsMode":"auto"}})", Errc::kUnsupported, "UsernsMode"},
    {R"({"HostConfig":{"Mounts":[{"Type":"npipe","Target":"/d"}]}})", Errc::kUnsupported, "npipe"},
    {R"({"HostConfig":{"SecurityOpt":["seccomp={}"]}})", Errc::kUnsupported, "seccomp"},
    {R"({"HostConfig":{"SecurityOpt":["label=user:x"]}})", Errc::kUnsupported, "label=user:x"},
    {R"({"HostConfig":{"GroupAdd":["audio"]}})", Errc::kUnsupported, "audio"},
};
INSTANTIATE_TEST_SUITE_P(Unsupported, Refused, testing::ValuesIn(kUnsupportedRows));

constexpr Refusal kInvalidRows[] = {
    {R"([])", Errc::kInvalid, "config cannot be empty"},
    {R"({"HostConfig":{"SecurityOpt":["apparmor="]}})", Errc::kInvalid, "invalid --security-opt"},
    {R"({"HostConfig":{"Memory":"1g"}})", Errc::kInvalid, "HostConfig.Memory must be an integer"},
    {R"({"HostConfig":{"CapAdd":[1]}})", Errc::kInvalid, "HostConfig.CapAdd"},
    {R"({"Env":"A=b"})", Errc::kInvalid, "Config.Env"},
    {R"({"Cmd":7})", Errc::kInvalid, "Config.Cmd"},
    {R"({"HostConfig":7})", Errc::kInvalid, "Config.HostConfig"},
    {R"({"HostConfig":{"CapAdd":["CAP_FLY"]}})", Errc::kInvalid, "CAP_FLY"},
    {R"({"HostConfig":{"Memory":1000}})", Errc::kInvalid, "6MB"},
    {R"({"HostConfig":{"Memory":67108864,"MemorySwap":33554432}})", Errc::kInvalid, "memoryswap"},
    {R"({"HostConfig":{"MemorySwap":33554432}})", Errc::kInvalid, "Memoryswap"},
    {R"({"HostConfig":{"NanoCpus":1000}})", Errc::kInvalid, "CPUs"},
    {R"({"HostConfig":{"NanoCpus":1000000000,"CpuQuota":5000}})", Errc::kInvalid, "Conflicting"},
    {R"({"HostConfig":{"CpuPeriod":10}})", Errc::kInvalid, "period"},
    {R"({"HostConfig":{"CpusetCpus":"0-x"}})", Errc::kInvalid, "0-x"},
    {R"({"HostConfig":{"BlkioWeight":5}})", Errc::kInvalid, "blkio weight"},
    {R"({"HostConfig":{"OomScoreAdj":1001}})", Errc::kInvalid, "1001"},
    {R"({"HostConfig":{"Binds":["/a:b"]}})", Errc::kInvalid, "absolute"},
    {R"({"HostConfig":{"Binds":["/a:/"]}})", Errc::kInvalid, "destination"},
    {R"({"HostConfig":{"Binds":["/a:/b/.."]}})", Errc::kInvalid, "destination"},
    {R"({"HostConfig":{"Binds":["/a:/b:banana"]}})", Errc::kInvalid, "banana"},
    {R"({"HostConfig":{"Binds":["/a:/b","/c:/b/"]}})", Errc::kInvalid, "Duplicate mount point: /b"},
    {R"({"HostConfig":{"Mounts":[{"Type":"bind","Source":"a","Target":"/b"}]}})", Errc::kInvalid,
     "absolute"},
    {R"({"HostConfig":{"Runtime":"kata"}})", Errc::kInvalid, "kata"},
    {R"({"HostConfig":{"LogConfig":{"Type":"asdf"}}})", Errc::kInvalid,
     "logger: no log driver named 'asdf' is registered"},
    {R"({"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-sise":"1m"}}}})",
     Errc::kInvalid, "max-sise"},
    {R"({"HostConfig":{"RestartPolicy":{"Name":"perhaps"}}})", Errc::kInvalid, "perhaps"},
    {R"({"HostConfig":{"Binds":["../data:/data"]}})", Errc::kInvalid, "volume name"},
    {R"({"HostConfig":{"Binds":["x:/data"]}})", Errc::kInvalid, "volume name"},
    {R"({"HostConfig":{"Binds":["data:relative"]}})", Errc::kInvalid, "absolute"},
    {R"({"HostConfig":{"Binds":["data:/data:nocopy,bad"]}})", Errc::kInvalid, "invalid mode"},
    {R"({"HostConfig":{"Binds":["/data:/data:nocopy"]}})", Errc::kInvalid, "invalid mode"},
    {R"({"Volumes":{"mine":{}}})", Errc::kInvalid, "absolute"},
    {R"({"HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":2}}})", Errc::kInvalid,
     "on-failure"},
    {R"({"HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-1}}})",
     Errc::kInvalid, "negative"},
    {R"({"HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}})", Errc::kInvalid,
     "AutoRemove"},
    {R"({"HostConfig":{"NetworkMode":"host","Sysctls":{"net.x":"1"}}})", Errc::kInvalid, "net.x"},
    {R"({"HostConfig":{"Ulimits":[{"Name":"files","Soft":1,"Hard":1}]}})", Errc::kInvalid, "files"},
    {R"({"HostConfig":{"Ulimits":[{"Name":"nofile","Soft":2,"Hard":1}]}})", Errc::kInvalid,
     "soft limit"},
    {R"({"HostConfig":{"DeviceCgroupRules":["c 1:3"]}})", Errc::kInvalid, "c 1:3"},
    {R"({"HostConfig":{"Devices":[{"PathOnHost":"null"}]}})", Errc::kInvalid, "null"},
    {R"({"HostConfig":{"Devices":[{"PathOnHost":"/dev/null","CgroupPermissions":"rx"}]}})",
     Errc::kInvalid, "rx"},
    {R"({"HostConfig":{"SecurityOpt":["magic"]}})", Errc::kInvalid, "magic"},
    {R"({"HostConfig":{"Dns":["dns.example"]}})", Errc::kInvalid, "dns.example"},
    {R"({"HostConfig":{"ExtraHosts":["nonsense"]}})", Errc::kInvalid, "nonsense"},
    {R"({"Hostname":"-bad"})", Errc::kInvalid, "-bad"},
    {R"({"Hostname":"x","HostConfig":{"UTSMode":"host"}})", Errc::kInvalid,
     "hostname and the UTS mode"},
    {R"({"WorkingDir":"srv"})", Errc::kInvalid, "srv"},
    {R"({"StopSignal":"SIGNOPE"})", Errc::kInvalid, "SIGNOPE"},
    {R"({"Env":["=x"]})", Errc::kInvalid, "=x"},
};
INSTANTIATE_TEST_SUITE_P(Invalid, Refused, testing::ValuesIn(kInvalidRows));

TEST(ParseConfig, AcceptsWhatMeansNothingHere) {
  ContainerConfig config = Created(HostBody(
      R"({"SecurityOpt":["apparmor=unconfined","label=disable","no-new-privileges"],"NetworkMode":"host",
          "PortBindings":{"80/tcp":[{}]},"Unknown":{"x":1},"Runtime":"runc","Init":false})"));
  EXPECT_TRUE(config.host.no_new_privileges);
  EXPECT_EQ(config.host.seccomp, SeccompChoice::kDefault);
  EXPECT_EQ(Created(HostBody(R"({"SecurityOpt":["seccomp=unconfined"]})")).host.seccomp,
            SeccompChoice::kUnconfined);
  EXPECT_EQ(config.host.apparmor_profile, "");
  EXPECT_EQ(Created(HostBody(R"({"SecurityOpt":["apparmor=my-profile"]})")).host.apparmor_profile,
            "my-profile");
}

TEST(ParseConfig, ReadsMountsInTheOrderOfTheirDepth) {
  ContainerConfig config = Created(HostBody(
      R"({"Binds":["/h/x:/a/b/c:ro,z,rslave","/h:/a"],"Tmpfs":{"/a/t":"size=1m,mode=1777"},
          "Mounts":[{"Type":"bind","Source":"/s/","Target":"/m//n","ReadOnly":true,
                     "BindOptions":{"NonRecursive":true,"CreateMountpoint":true}},
                    {"Type":"tmpfs","Target":"/q","TmpfsOptions":{"SizeBytes":1024,"Mode":448}}]})"));
  const auto& mounts = config.host.mounts;
  ASSERT_EQ(mounts.size(), 6U);
  EXPECT_EQ(mounts[0].target, "/a");
  EXPECT_TRUE(mounts[0].create_source);
  EXPECT_EQ(mounts[1].target, "/q");
  EXPECT_EQ(mounts[1].options, (std::vector<std::string>{"size=1024", "mode=700"}));
  EXPECT_EQ(mounts[2].target, "/m/n");
  EXPECT_EQ(mounts[2].source, "/s");
  EXPECT_TRUE(mounts[2].read_only && !mounts[2].recursive && mounts[2].create_source);
  EXPECT_EQ(mounts[3].options, (std::vector<std::string>{"size=1m", "mode=1777"}));
  EXPECT_EQ(mounts[4].target, "/var/cache");  // of the image
  EXPECT_TRUE(mounts[4].anonymous);
  EXPECT_EQ(mounts[4].volume.size(), 64U);
  EXPECT_EQ(mounts[5].target, "/a/b/c");
  EXPECT_TRUE(mounts[5].read_only);
  EXPECT_EQ(mounts[5].propagation, "rslave");
  EXPECT_EQ(mounts[5].mode, "ro,z,rslave");
}

TEST(ParseConfig, VolumesByEveryForm) {
  ContainerConfig config = Created(HostBody(
      R"({"Binds":["data:/a:ro,nocopy","/b"],"Mounts":[
          {"Type":"volume","Source":"more","Target":"/c","VolumeOptions":{"NoCopy":true}},
          {"Type":"tmpfs","Target":"/var/cache"}]})"));
  const auto& mounts = config.host.mounts;
  ASSERT_EQ(mounts.size(), 4U);
  EXPECT_EQ(mounts[0].volume, "data");
  EXPECT_TRUE(mounts[0].read_only && !mounts[0].copy && !mounts[0].anonymous);
  EXPECT_TRUE(mounts[1].anonymous && mounts[1].copy);
  EXPECT_EQ(mounts[2].volume, "more");
  EXPECT_FALSE(mounts[2].copy);
  EXPECT_EQ(mounts[3].type, MountRequest::Type::kTmpfs) << "covers the image's volume";
}

TEST(CreateWarnings, SayWhatHasNoEffect) {
  auto warnings = CreateWarnings(Created(HostBody(R"({"OomKillDisable":true})")));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("OomKillDisable"), std::string::npos);
  EXPECT_TRUE(
      CreateWarnings(Created(HostBody(R"({"NetworkMode":"none","MemorySwappiness":-1})"))).empty());
}

}  // namespace
}  // namespace wherry::engine
