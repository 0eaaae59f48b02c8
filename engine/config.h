// The daemon's configuration: /etc/wherry/wherry.conf, then conf.d/*.conf in name order, then
// command line options. Every value knows where it came from; an unknown key, a wrong unit or a
// wrong value names file and line.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "board/slot.h"
#include "core/base/id_map.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/result.h"
#include "engine/https.h"
#include "engine/image_trust.h"
#include "engine/mqtt_config.h"
#include "net/link/address.h"
#include "net/registry/options.h"
#include "store/store.h"

namespace wherry::engine {

struct Config {
  std::string root = "/var/lib/wherry";
  std::string run = "/run/wherry";
  std::string socket;  // default RUN/wherry.sock
  std::string socket_group = "wherry";
  std::string cgroup_parent;  // default /wherry, or /wherry-<hash> beside another instance
  std::string shim;           // default: wherry-shim beside this program
  std::string default_network = "bridge";  // what NetworkMode "default" means: or none or host
  std::string bridge;         // device of the network "bridge"; default wherry0, or wh-<hash>
  net::Subnet bridge_subnet;  // of that network; prefix 0: chosen when the daemon starts
  LogLevel log_level = LogLevel::kInfo;
  std::string userns_remap = "off";  // as written
  std::optional<IdMaps> ids;         // of containers that are remapped (engine/user_namespace.h)
  uint64_t storage_size = 0;         // of a container's own layer; 0: any
  uint64_t log_max_size = 10 << 20;  // of one container log file
  uint64_t log_max_files = 2;
  int stop_timeout_seconds = 10;
  store::Options store;
  bool gentle = true;  // transfers make room on the disk for containers
  std::chrono::seconds scrub_interval = std::chrono::hours(720);  // 0: never
  uint64_t scrub_rate = 1 << 20;                                  // bytes a second
  registry::Options registry;
  SignaturePolicy signatures;
  MqttConfig mqtt;
  std::string update_keys = "/etc/wherry/release-keys";  // *.pub: who may sign releases
  std::string reboot_command;  // of the fleet's request; empty: it is refused
  std::string update_credentials = "/etc/wherry/credentials.json";  // for their images
  HttpsConfig https;
  board::SlotsConfig slots;
  std::string watchdog;  // device; empty: none is petted
  std::chrono::seconds watchdog_timeout{60};
  std::map<std::string, std::string>
      origins;  // "daemon.root" -> "default", "/etc/wherry/wherry.conf:3", "command line"
};

// A value given on the command line, in the form of the file: {"root", "/data"} sets root of
// section [daemon].
struct ConfigOverride {
  std::string key;
  std::string value;
};

inline constexpr std::string_view kDefaultConfigFile = "/etc/wherry/wherry.conf";

// Reads `file` and the *.conf files of the directory conf.d beside it. A missing default file is an
// empty one; a missing file that was named explicitly is an error.
Result<Config> LoadConfig(const std::string& file, const std::vector<ConfigOverride>& overrides);

// The effective configuration: [{"section","key","value","origin"}, ...]. The API answers with it.
std::string DescribeConfigJson(const Config& config);
// The same in the form of the file, each value with its origin as a comment: `wherry config`.
std::string DescribeConfig(JsonValue lines);

}  // namespace wherry::engine
