#include "engine/spec_builder.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/capabilities.h"
#include "core/shim/init.h"
#include "engine/network/network.h"
#include "engine/user_namespace.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kOciVersion = "1.2.0";
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view VariableName(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

bool Contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

void WriteRlimits(JsonWriter& json, const std::vector<Ulimit>& ulimits) {
  json.Key("rlimits").Array();
  for (const Ulimit& ulimit : ulimits) {
    std::string name = "RLIMIT_";
    for (char c : ulimit.name)
      name += static_cast<char>(c - 'a' + 'A');
    json.Object().Field("type", name).Field("soft", ulimit.soft).Field("hard", ulimit.hard).End();
  }
  json.End();
}

void WriteCapabilities(JsonWriter& json, const HostOptions& options) {
  std::vector<std::string> names = EffectiveCapabilities(options);
  json.Key("capabilities").Object();
  for (std::string_view set : {"bounding", "effective", "permitted"})
    json.Field(set, names);
  json.End();
}

void WriteProcess(JsonWriter& json, const SpecInput& input) {
  const ContainerConfig& config = input.config;
  json.Key("process").Object().Field("terminal", config.tty);
  if (config.tty && config.host.console_rows != 0) {
    json.Key("consoleSize").Object().Field("height", config.host.console_rows);
    json.Field("width", config.host.console_columns).End();
  }
  // "0" makes the runtime look up root's groups in the image, as Docker does.
  json.Key("user").Object().Field("uid", 0).Field("gid", 0);
  json.Field("username", config.user.empty() ? "0" : config.user);
  json.Key("additionalGids").Array();
  for (uint32_t gid : config.host.additional_gids)
    json.Uint(gid);
  json.End().End();
  std::vector<std::string> args = config.args;
  if (!input.init.empty())
    args.insert(args.begin(), shim::kInitPath);
  json.Field("args", args).Field("env", BuildEnvironment(config, input.hostname));
  json.Field("cwd", config.working_dir.empty() ? "/" : config.working_dir);
  WriteCapabilities(json, config.host);
  WriteRlimits(json, config.host.ulimits);
  if (!config.host.apparmor_profile.empty())
    json.Field("apparmorProfile", config.host.apparmor_profile);
  json.Field("noNewPrivileges", config.host.no_new_privileges)
      .Field("oomScoreAdj", config.host.oom_score_adj)
      .End();
}

void WriteMounts(JsonWriter& json, const SpecInput& input) {
  json.Key("mounts").Array();
  for (const RuntimeMount& mount : BuildMounts(input)) {
    json.Object().Field("destination", mount.destination).Field("type", mount.type);
    json.Field("source", mount.source).Field("options", mount.options).End();
  }
  json.End();
}

void WriteNamespaces(JsonWriter& json, const SpecInput& input) {
  const HostOptions& options = input.config.host;
  struct Row {
    std::string_view name;
    bool own;
  };
  const Row rows[] = {
      {"mount", true},
      {"pid", options.pid_mode != "host"},
      {"ipc", options.ipc_mode != "host"},
      {"uts", options.uts_mode != "host"},
      {"network", input.network != kHostNetwork},
      {"cgroup", options.cgroupns_mode != "host"},
      {"user", input.ids != nullptr || !input.user_namespace.empty()},
  };
  json.Key("namespaces").Array();
  for (const Row& row : rows) {
    if (!row.own)
      continue;
    json.Object().Field("type", row.name);
    if (row.name == "network" && !input.netns.empty())
      json.Field("path", input.netns);
    if (row.name == "user" && !input.user_namespace.empty())
      json.Field("path", input.user_namespace);
    json.End();
  }
  json.End();
}

void WriteIdMap(JsonWriter& json, std::string_view name, const IdMap& map) {
  json.Key(name).Array();
  for (const IdRange& range : map) {
    json.Object().Field("containerID", range.inside).Field("hostID", range.outside);
    json.Field("size", range.count).End();
  }
  json.End();
}

void WriteSysctls(JsonWriter& json, const SpecInput& input) {
  std::map<std::string, std::string> sysctls;
  if (input.network != kHostNetwork && !SharedWith(input.network)) {
    sysctls["net.ipv4.ip_unprivileged_port_start"] = "0";
    // Of a network namespace that the container's user namespace owns: it does not have all groups.
    if (input.ids == nullptr || !input.netns.empty())
      sysctls["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  for (const auto& [name, value] : input.config.host.sysctls)
    sysctls[name] = value;
  json.Key("sysctl").Object();
  for (const auto& [name, value] : sysctls)
    json.Field(name, value);
  json.End();
}

// Counters that tell neighbours apart by heat; their number depends on the machine.
std::vector<std::string> ThrottleFiles() {
  constexpr std::string_view kProcessors = "/sys/devices/system/cpu";
  std::vector<std::string> files;
  auto entries = ListDir(std::string(kProcessors));
  if (!entries)
    return files;
  for (const std::string& entry : *entries) {
    if (!entry.starts_with("cpu") || !ParseUint(std::string_view(entry).substr(3)))
      continue;
    std::string file = Cat(kProcessors, "/", entry, "/thermal_throttle");
    if (PathExists(file))
      files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end());
  return files;
}

void WritePaths(JsonWriter& json, const HostOptions& options) {
  std::vector<std::string> masked = options.masked_paths;
  if (!masked.empty()) {
    for (std::string& file : ThrottleFiles()) {
      if (!Contains(masked, file))
        masked.push_back(std::move(file));
    }
  }
  json.Field("maskedPaths", masked).Field("readonlyPaths", options.readonly_paths);
}

Result<> WriteLinux(JsonWriter& json, const SpecInput& input) {
  json.Key("linux").Object();
  WriteNamespaces(json, input);
  if (input.ids != nullptr) {
    TRY(CheckRemapped(input.config.host));
    WriteIdMap(json, "uidMappings", input.ids->users);
    WriteIdMap(json, "gidMappings", input.ids->groups);
  }
  TRY(WriteDevices(json, input.config.host));
  json.Field("cgroupsPath", input.cgroup);
  TRY(WriteResources(json, input.config.host));
  WriteSysctls(json, input);
  std::string_view propagation = RootPropagation(input.config.host.mounts);
  if (!propagation.empty())
    json.Field("rootfsPropagation", propagation);
  WritePaths(json, input.config.host);
  json.End();
  return {};
}

// "All" is what the engine itself has: inside a container or under a service manager that may be
// less than the kernel's.
runtime::CapabilitySet OwnCapabilities() {
  auto own = runtime::CurrentCapabilities();
  return own ? runtime::AllCapabilities() & own->permitted : runtime::AllCapabilities();
}

}  // namespace

std::vector<std::string> EffectiveCapabilities(const HostOptions& options) {
  bool all = options.privileged || Contains(options.cap_add, "ALL");
  bool none = Contains(options.cap_drop, "ALL");
  runtime::CapabilitySet set = none ? 0 : runtime::kDockerCapabilities;
  if (all)
    set = OwnCapabilities();
  if (options.privileged)
    return runtime::CapabilityNames(set);
  for (const std::string& name : options.cap_drop) {
    auto number = runtime::CapabilityNumber(name);
    if (number)
      set &= ~runtime::CapabilityBit(*number);
  }
  for (const std::string& name : options.cap_add) {
    auto number = runtime::CapabilityNumber(name);
    if (number)
      set |= runtime::CapabilityBit(*number);
  }
  return runtime::CapabilityNames(set);
}

std::vector<std::string> BuildEnvironment(const ContainerConfig& config,
                                          std::string_view hostname) {
  std::vector<std::string> env = {std::string(kPath), Cat("HOSTNAME=", hostname)};
  if (config.tty)
    env.emplace_back("TERM=xterm");
  for (const std::string& entry : config.env) {
    auto same = [&](const std::string& other) {
      return VariableName(other) == VariableName(entry);
    };
    auto found = std::find_if(env.begin(), env.end(), same);
    bool unset = entry.find('=') == std::string::npos;
    if (found == env.end()) {
      if (!unset)
        env.push_back(entry);
    } else if (unset) {
      env.erase(found);
    } else {
      *found = entry;
    }
  }
  return env;
}

std::string BuildExecConfig(const SpecInput& input) {
  JsonWriter json;
  json.Object().Field("ociVersion", kOciVersion);
  WriteProcess(json, input);
  json.Key("root").Object().Field("path", "/").End();
  json.Key("linux").Object();
  WriteNamespaces(json, input);
  json.End().End();
  return json.Take();
}

Result<std::string> BuildRuntimeConfig(const SpecInput& input) {
  const ContainerConfig& config = input.config;
  JsonWriter json;
  json.Object().Field("ociVersion", kOciVersion);
  WriteProcess(json, input);
  json.Key("root")
      .Object()
      .Field("path", "rootfs")
      .Field("readonly", config.host.readonly_rootfs)
      .End();
  if (config.host.uts_mode != "host") {
    json.Field("hostname", input.hostname);
    if (!config.domainname.empty())
      json.Field("domainname", config.domainname);
  }
  WriteMounts(json, input);
  if (!config.host.annotations.empty()) {
    json.Key("annotations").Object();
    for (const auto& [name, value] : config.host.annotations)
      json.Field(name, value);
    json.End();
  }
  TRY(WriteLinux(json, input));
  json.End();
  return json.Take();
}

}  // namespace wherry::engine
