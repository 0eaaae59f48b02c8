#include "engine/container_config.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/runtime/capabilities.h"
#include "engine/container_fields.h"
#include "engine/container_parse.h"
#include "engine/container_signals.h"

namespace wherry::engine {

namespace {

Result<> Unsupported(std::string_view what) {
  return Fail(Errc::kUnsupported, Cat(what, " is not supported in this version"));
}

Result<> CheckHostname(std::string_view name) {
  bool valid = name.size() <= 63 && !name.starts_with('-') && !name.ends_with('-');
  for (char c : name) {
    valid = valid && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-' || c == '_' || c == '.');
  }
  if (!valid)
    return Fail(Errc::kInvalid, Cat("invalid hostname format: ", name));
  return {};
}

Result<> ParseProcess(ContainerConfig& config, JsonValue json) {
  config.image = json["Image"].str();
  config.args = json["Entrypoint"].strings();
  for (std::string& word : json["Cmd"].strings())
    config.args.push_back(std::move(word));
  if (config.args.empty())
    return Fail(Errc::kInvalid, "no command specified");
  config.env = json["Env"].strings();
  for (const std::string& entry : config.env) {
    if (entry.empty() || entry[0] == '=')
      return Fail(Errc::kInvalid, Cat("invalid environment variable: ", entry));
  }
  config.working_dir = json["WorkingDir"].str();
  if (!config.working_dir.empty() && config.working_dir[0] != '/') {
    return Fail(Errc::kInvalid, Cat("the working directory '", config.working_dir,
                                    "' is invalid, it needs to be an absolute path"));
  }
  config.user = json["User"].str();
  config.tty = json["Tty"].boolean();
  config.open_stdin = json["OpenStdin"].boolean();
  config.stdin_once = json["StdinOnce"].boolean();
  return {};
}

Result<> ParseIdentity(ContainerConfig& config, JsonValue json) {
  config.hostname = json["Hostname"].str();
  config.domainname = json["Domainname"].str();
  TRY(CheckHostname(config.hostname));
  TRY(CheckHostname(config.domainname));
  if (!json["StopSignal"].str().empty())
    config.stop_signal = TRY(ParseSignal(json["StopSignal"].str()));
  if (json["StopTimeout"].IsNumber()) {
    config.stop_timeout_seconds =
        static_cast<int>(std::clamp<int64_t>(json["StopTimeout"].integer(), -1, INT32_MAX));
  }
  for (JsonValue label : json["Labels"])
    config.labels[std::string(label.key())] = label.str();
  return {};
}

// A mode that may only be one of `allowed` ("" included when listed).
Result<std::string> ParseMode(JsonValue host, std::string_view name,
                              std::initializer_list<std::string_view> allowed) {
  std::string mode(host[name].str());
  if (std::find(allowed.begin(), allowed.end(), mode) != allowed.end())
    return mode;
  return Fail(Errc::kUnsupported,
              Cat("HostConfig.", name, " \"", mode, "\" is not supported in this version"));
}

Result<> ParseModes(HostOptions& options, JsonValue host, JsonValue config) {
  options.network_mode = host["NetworkMode"].str();
  if (config["NetworkDisabled"].boolean())
    options.network_mode = "none";
  options.ipc_mode = TRY(ParseMode(host, "IpcMode", {"private", "shareable", "none", "host"}));
  options.pid_mode = TRY(ParseMode(host, "PidMode", {"", "host"}));
  options.uts_mode = TRY(ParseMode(host, "UTSMode", {"", "host"}));
  options.cgroupns_mode = TRY(ParseMode(host, "CgroupnsMode", {"private", "host"}));
  options.userns_mode = TRY(ParseMode(host, "UsernsMode", {"", "host"}));
  std::string_view isolation = host["Isolation"].str();
  if (!isolation.empty() && isolation != "default") {
    return Fail(Errc::kInvalid, Cat("invalid isolation '", isolation, "' on linux"));
  }
  std::string_view runtime = host["Runtime"].str();
  if (runtime != "wherry" && runtime != "runc" && runtime != "io.containerd.runc.v2") {
    return Fail(Errc::kInvalid, Cat("unknown or invalid runtime name: ", runtime));
  }
  if (options.uts_mode == "host" && !config["Hostname"].str().empty()) {
    return Fail(Errc::kInvalid, "conflicting options: hostname and the UTS mode");
  }
  return {};
}

// Ports need a bridge; without one, Docker ignores them for the networks host and none.
// Docker's words for what a container in another one's network cannot have.
Result<> CheckPorts(const HostOptions& options, JsonValue config) {
  if (!SharedWith(options.network_mode))
    return {};
  if (!options.ports.empty())
    return Fail(Errc::kInvalid,
                "conflicting options: port publishing and the container type network mode");
  if (!config["Hostname"].str().empty())
    return Fail(Errc::kInvalid, "conflicting options: hostname and the network mode");
  return {};
}

Result<> ParseSecurityOption(HostOptions& options, std::string_view option) {
  size_t split = option.find_first_of("=:");
  std::string_view key = option.substr(0, split);
  std::string_view value = split == std::string_view::npos ? "" : option.substr(split + 1);
  if (key == "no-new-privileges") {
    if (value != "" && value != "true" && value != "false") {
      return Fail(Errc::kInvalid, Cat("invalid --security-opt: \"", option, "\""));
    }
    options.no_new_privileges = value != "false";
    return {};
  }
  if (key == "seccomp") {
    if (value == "unconfined")
      options.seccomp = SeccompChoice::kUnconfined;
    else if (value != "builtin")
      return Unsupported("a custom seccomp profile (--security-opt seccomp=...)");
    return {};
  }
  // Neither security module is used unasked: switching it off is what happens anyway.
  if ((key == "apparmor" && value == "unconfined") || (key == "label" && value == "disable"))
    return {};
  if (key == "apparmor" && !value.empty()) {
    options.apparmor_profile = value;
    return {};
  }
  if (key == "label" || key == "systempaths" || key == "writable-cgroups") {
    return Unsupported(Cat("security option \"", option, "\""));
  }
  return Fail(Errc::kInvalid, Cat("invalid --security-opt: \"", option, "\""));
}

Result<std::vector<std::string>> ParseCapabilityNames(JsonValue list) {
  std::vector<std::string> names;
  for (const std::string& name : list.strings()) {
    if (EqualsIgnoreCase(name, "ALL") || EqualsIgnoreCase(name, "CAP_ALL")) {
      names.emplace_back("ALL");
      continue;
    }
    auto number = runtime::CapabilityNumber(name);
    if (!number)
      return Fail(Errc::kInvalid, Cat("invalid capability: \"", name, "\""));
    names.push_back(runtime::CapabilityName(*number));
  }
  return names;
}

Result<> ParseSecurity(HostOptions& options, JsonValue host) {
  options.privileged = host["Privileged"].boolean();
  options.readonly_rootfs = host["ReadonlyRootfs"].boolean();
  options.cap_add = TRY(ParseCapabilityNames(host["CapAdd"]));
  options.cap_drop = TRY(ParseCapabilityNames(host["CapDrop"]));
  if (options.privileged)
    options.seccomp = SeccompChoice::kUnconfined;
  for (const std::string& option : host["SecurityOpt"].strings())
    TRY(ParseSecurityOption(options, option));
  options.masked_paths = host["MaskedPaths"].strings();
  options.readonly_paths = host["ReadonlyPaths"].strings();
  for (const std::string& group : host["GroupAdd"].strings()) {
    auto number = ParseUint(group);
    if (!number || *number > INT32_MAX) {
      return Fail(Errc::kUnsupported,
                  Cat("--group-add ", group,
                      ": groups by name are not supported in this version; use the number"));
    }
    options.additional_gids.push_back(static_cast<uint32_t>(*number));
  }
  return {};
}

Result<> ParseSysctls(HostOptions& options, JsonValue host) {
  for (JsonValue entry : host["Sysctls"]) {
    std::string name(entry.key());
    if (name.empty() || name.find("..") != std::string::npos || name[0] == '/') {
      return Fail(Errc::kInvalid, Cat("invalid sysctl name: ", name));
    }
    if (options.network_mode == "host" && name.starts_with("net.")) {
      return Fail(Errc::kInvalid, Cat("sysctl '", name, "' not allowed in host network namespace"));
    }
    options.sysctls[name] = entry.str();
  }
  return {};
}

Result<> ParseNames(HostOptions& options, JsonValue host) {
  options.dns = host["Dns"].strings();
  options.dns_options = host["DnsOptions"].strings();
  options.dns_search = host["DnsSearch"].strings();
  options.extra_hosts = host["ExtraHosts"].strings();
  for (const std::string& entry : options.extra_hosts) {
    auto pair = SplitFirst(entry, ':');
    if (!pair)
      pair = SplitFirst(entry, '=');
    if (!pair || pair->head.empty() || pair->tail.empty()) {
      return Fail(Errc::kInvalid, Cat("bad format for add-host: \"", entry, "\""));
    }
  }
  for (const std::string& server : options.dns) {
    if (server.empty() ||
        server.find_first_not_of("0123456789abcdefABCDEF.:") != std::string::npos) {
      return Fail(Errc::kInvalid, Cat("invalid IP address: ", server));
    }
  }
  return {};
}

Result<> ParseLog(HostOptions& options, JsonValue log) {
  options.log_driver = log["Type"].str();
  if (options.log_driver != "json-file" && options.log_driver != "none") {
    return Fail(Errc::kInvalid, Cat("logger: no log driver named '", options.log_driver,
                                    "' is registered; wherry has json-file and none"));
  }
  if (options.log_driver == "none")
    return {};
  for (JsonValue option : log["Config"]) {
    if (option.key() == "max-size") {
      if (option.str() != "-1")
        options.log_max_size = TRY_CTX("log option max-size", ParseSize(option.str()));
      else
        options.log_max_size = 0;
    } else if (option.key() == "max-file") {
      options.log_max_files = TRY_CTX("log option max-file", ParseUint(option.str()));
      if (*options.log_max_files < 1)
        return Fail(Errc::kInvalid, "log option max-file cannot be less than 1");
    } else if (option.key() == "compress" && option.str() == "true") {
      return Unsupported("log option compress");
    } else if (option.key() != "mode" && option.key() != "compress" &&
               option.key() != "max-buffer-size") {
      return Fail(Errc::kInvalid,
                  Cat("unknown log opt '", option.key(), "' for json-file log driver"));
    }
  }
  return {};
}

Result<> ParseSizes(HostOptions& options, JsonValue host) {
  options.shm_size = host["ShmSize"].integer();
  if (options.shm_size <= 0)
    return Fail(Errc::kInvalid, "SHM size can not be less than 0");
  int64_t score = host["OomScoreAdj"].integer();
  if (score < -1000 || score > 1000) {
    return Fail(Errc::kInvalid,
                Cat("Invalid value ", score, ", range for oom score adj is [-1000, 1000]"));
  }
  options.oom_score_adj = static_cast<int>(score);
  options.console_rows =
      static_cast<uint16_t>(std::clamp<int64_t>(host["ConsoleSize"].at(0).integer(), 0, 0xffff));
  options.console_columns =
      static_cast<uint16_t>(std::clamp<int64_t>(host["ConsoleSize"].at(1).integer(), 0, 0xffff));
  return {};
}

Result<HostOptions> ParseHost(JsonValue host, JsonValue config, JsonValue volume_names) {
  HostOptions options;
  options.auto_remove = host["AutoRemove"].boolean();
  options.init = host["Init"].boolean();
  TRY(ParseModes(options, host, config));
  options.ports = TRY(ParsePortBindings(host, config["ExposedPorts"]));
  TRY(CheckPorts(options, config));
  options.restart = TRY(ParseRestartPolicy(host["RestartPolicy"]));
  if (options.auto_remove && options.restart.mode != RestartMode::kNo)
    return Fail(Errc::kInvalid, "can't create 'AutoRemove' container with restart policy");
  TRY(ParseSecurity(options, host));
  TRY(ParseSysctls(options, host));
  TRY(ParseNames(options, host));
  TRY(ParseLog(options, host["LogConfig"]));
  TRY(ParseSizes(options, host));
  options.mounts = TRY(ParseMounts(host, config["Volumes"], volume_names));
  options.devices = TRY(ParseDevices(host["Devices"]));
  options.device_rules = TRY(ParseDeviceRules(host["DeviceCgroupRules"]));
  options.ulimits = TRY(ParseUlimits(host["Ulimits"]));
  for (JsonValue entry : host["Annotations"])
    options.annotations[std::string(entry.key())] = entry.str();
  options.limits = TRY(ParseLimits(host));
  options.storage_size = TRY(ParseStorageSize(host["StorageOpt"]));
  return options;
}

}  // namespace

Result<ContainerConfig> ParseContainerConfig(NormalisedRequest request) {
  auto config_json = TRY(JsonDocument::Parse(request.config_json, "Config"));
  auto host_json = TRY(JsonDocument::Parse(request.host_config_json, "HostConfig"));
  ContainerConfig config;
  TRY(ParseProcess(config, config_json.root()));
  TRY(ParseIdentity(config, config_json.root()));
  config.health = TRY(ParseHealthcheck(config_json.root()));
  auto names = TRY(JsonDocument::Parse(request.volumes_json, "volumes"));
  config.host = TRY(ParseHost(host_json.root(), config_json.root(), names.root()));
  auto networking = TRY(JsonDocument::Parse(request.networking_json, "NetworkingConfig"));
  config.endpoints = TRY(ReadEndpoints(networking.root()));
  config.config_json = std::move(request.config_json);
  config.host_config_json = std::move(request.host_config_json);
  config.networking_json = std::move(request.networking_json);
  config.volumes_json = std::move(request.volumes_json);
  return config;
}

std::vector<std::string> CreateWarnings(const ContainerConfig& config) {
  std::vector<std::string> warnings;
  auto config_json = JsonDocument::Parse(config.config_json, "Config");
  auto host_json = JsonDocument::Parse(config.host_config_json, "HostConfig");
  if (!config_json || !host_json)
    return warnings;
  JsonValue host = host_json->root();
  bool ports = !IsEmptyValue(host["PortBindings"]) || host["PublishAllPorts"].boolean();
  if (ports && config.host.network_mode == "host") {
    warnings.emplace_back("Published ports are discarded when using host network mode");
  }
  if (host["OomKillDisable"].boolean()) {
    warnings.emplace_back("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
  }
  if (host["MemorySwappiness"].integer(-1) >= 0) {
    warnings.emplace_back(
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
        "Memory swappiness discarded.");
  }
  return warnings;
}

}  // namespace wherry::engine
