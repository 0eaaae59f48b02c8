#include "engine/api/system_info.h"

#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci/platform.h"
#include "core/runtime/security_label.h"

namespace wherry::engine::api {

namespace {

utsname Kernel() {
  utsname name{};
  uname(&name);
  return name;
}

// A stable name of this engine for clients that tell daemons apart: derived, so that nothing has to
// be stored.
std::string EngineId(const Config& config) {
  auto machine = ReadFile("/etc/machine-id", 256);
  return Digest::Of(Cat(machine ? *machine : std::string(), config.root)).hex().substr(0, 32);
}

std::string_view CgroupVersion() {
  constexpr long kCgroup2Magic = 0x63677270;
  struct statfs info{};
  return statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == kCgroup2Magic ? "2" : "1";
}

void NoPlugins(JsonWriter& json) {
  json.Key("Plugins").Object();
  json.Key("Volume").Array().String("local").End();
  json.Key("Network").Array().String("host").String("null").End();
  json.Key("Authorization").Array().End();
  json.Key("Log").Array().String("json-file").String("none").End();
  json.End();
}

std::string_view TierMeaning(store::Tier tier) {
  switch (tier) {
    case store::Tier::kImageDataOnly:
      return "metadata images over data-only objects";
    case store::Tier::kImage:
      return "metadata images over objects";
    case store::Tier::kDirectories:
      return "directories of links to objects";
  }
  return "";
}

void RegistryConfig(JsonWriter& json, const Config& config) {
  json.Key("RegistryConfig").Object();
  json.Key("AllowNondistributableArtifactsCIDRs").Array().End();
  json.Key("AllowNondistributableArtifactsHostnames").Array().End();
  json.Key("InsecureRegistryCIDRs").Array().String("::1/128").String("127.0.0.0/8").End();
  json.Key("IndexConfigs").Object();
  for (const auto& [host, options] : config.registry.hosts) {
    json.Key(host).Object().Field("Name", host).Field("Mirrors", options.mirrors);
    json.Field("Secure", !options.insecure).Field("Official", host == "docker.io").End();
  }
  json.End();
  auto hub = config.registry.hosts.find("docker.io");
  json.Field("Mirrors",
             hub == config.registry.hosts.end() ? std::vector<std::string>() : hub->second.mirrors);
  json.End();
}

void Runtimes(JsonWriter& json) {
  json.Key("Runtimes").Object();
  json.Key("wherry").Object().Field("path", "wherry").End();
  json.End();
  json.Field("DefaultRuntime", "wherry");
  json.Key("Swarm")
      .Object()
      .Field("NodeID", "")
      .Field("NodeAddr", "")
      .Field("LocalNodeState", "inactive");
  json.Field("ControlAvailable", false).Field("Error", "").Key("RemoteManagers").Null().End();
}

}  // namespace

// PRETTY_NAME of /etc/os-release.
std::string OperatingSystem() {
  auto text = ReadFile("/etc/os-release", 64 << 10);
  if (!text)
    return "Linux";
  for (std::string_view line : Split(*text, '\n')) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (!line.starts_with(kKey))
      continue;
    line.remove_prefix(kKey.size());
    if (line.size() >= 2 && line.front() == '"' && line.back() == '"')
      line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return "Linux";
}

std::string VersionJson() {
  utsname kernel = Kernel();
  std::string arch = oci::HostPlatform().architecture;
  JsonWriter json;
  json.Object();
  json.Key("Platform").Object().Field("Name", "wherry").End();
  json.Key("Components").Array().Object().Field("Name", "Engine").Field("Version", WHERRY_VERSION);
  json.Key("Details")
      .Object()
      .Field("ApiVersion", kApiVersion)
      .Field("MinAPIVersion", kMinApiVersion);
  json.Field("Arch", arch)
      .Field("Os", "linux")
      .Field("KernelVersion", kernel.release)
      .Field("Experimental", "false");
  json.End().End().End();
  json.Field("Version", WHERRY_VERSION)
      .Field("ApiVersion", kApiVersion)
      .Field("MinAPIVersion", kMinApiVersion);
  json.Field("GitCommit", "").Field("GoVersion", "").Field("Os", "linux").Field("Arch", arch);
  json.Field("KernelVersion", kernel.release).Field("BuildTime", "").End();
  return json.Take();
}

std::string InfoJson(const Config& config, const ContainerCounts& containers, size_t images,
                     const store::Store& store) {
  utsname kernel = Kernel();
  store::WriteCount written = store.written();
  struct sysinfo memory{};
  sysinfo(&memory);
  JsonWriter json;
  json.Object().Field("ID", EngineId(config)).Field("Name", kernel.nodename);
  json.Field("Containers", containers.running + containers.paused + containers.stopped);
  json.Field("ContainersRunning", containers.running).Field("ContainersPaused", containers.paused);
  json.Field("ContainersStopped", containers.stopped).Field("Images", images);
  json.Field("Driver", "overlayfs");
  json.Key("DriverStatus")
      .Array()
      .Array()
      .String("Tier")
      .String(Cat(store::TierName(store.tier()), ": ", TierMeaning(store.tier())))
      .End()
      .Array()
      .String("fs-verity")
      .String(store.has_verity() ? "on" : "off")
      .End()
      .Array()
      .String("Factory store")
      .String(store.has_factory() ? config.store.factory : "none")
      .End()
      .Array()
      .String("Written since start")
      .String(Cat(FormatSize(written.content), " of content, ", FormatSize(written.metadata),
                  " of metadata"))
      .End()
      .End();
  NoPlugins(json);
  json.Field("MemoryLimit", CgroupVersion() == "2").Field("SwapLimit", CgroupVersion() == "2");
  json.Field("CpuCfsPeriod", true)
      .Field("CpuCfsQuota", true)
      .Field("CPUShares", true)
      .Field("CPUSet", true);
  json.Field("PidsLimit", true)
      .Field("OomKillDisable", false)
      .Field("IPv4Forwarding", false)
      .Field("Debug", false);
  json.Field("NFd", 0)
      .Field("NGoroutines", 0)
      .Field("SystemTime", FormatRfc3339Nano(UnixNanosNow()));
  json.Field("LoggingDriver", "json-file")
      .Field("CgroupDriver", "cgroupfs")
      .Field("CgroupVersion", CgroupVersion());
  json.Field("NEventsListener", 0)
      .Field("KernelVersion", kernel.release)
      .Field("OperatingSystem", OperatingSystem());
  json.Field("OSVersion", "").Field("OSType", "linux").Field("Architecture", kernel.machine);
  json.Field("IndexServerAddress", "https://index.docker.io/v1/");
  RegistryConfig(json, config);
  json.Field("NCPU", sysconf(_SC_NPROCESSORS_ONLN));
  json.Field("MemTotal", static_cast<uint64_t>(memory.totalram) * memory.mem_unit);
  json.Key("GenericResources").Array().End().Field("DockerRootDir", config.root);
  json.Field("HttpProxy", "")
      .Field("HttpsProxy", "")
      .Field("NoProxy", "")
      .Key("Labels")
      .Array()
      .End();
  json.Field("ExperimentalBuild", false).Field("ServerVersion", WHERRY_VERSION);
  Runtimes(json);
  json.Field("LiveRestoreEnabled", true).Field("Isolation", "").Field("InitBinary", "");
  json.Key("ContainerdCommit").Object().Field("ID", "").End();
  json.Key("RuncCommit")
      .Object()
      .Field("ID", "")
      .End()
      .Key("InitCommit")
      .Object()
      .Field("ID", "")
      .End();
  json.Key("SecurityOptions").Array();
  if (runtime::ApparmorEnabled())
    json.String("name=apparmor");
  json.String("name=seccomp,profile=builtin").String("name=cgroupns");
  if (config.ids)
    json.String("name=userns");
  json.End();
  json.Key("CDISpecDirs").Array().End().Key("Warnings").Array().End();
  json.End();
  return json.Take();
}

}  // namespace wherry::engine::api
