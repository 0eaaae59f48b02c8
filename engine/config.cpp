#include "engine/config.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "board/slots.h"
#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/ini.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/user_namespace.h"
#include "net/link/link.h"
#include "net/tls/listener.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxConfigFile = 256 << 10;

// One key of a section without a name: how it is read and how it is printed.
struct Key {
  std::string_view section;
  std::string_view name;
  Result<> (*set)(Config& config, std::string_view value);
  std::string (*get)(const Config& config);
};

Result<> SetPath(std::string& target, std::string_view value) {
  if (value.empty() || value[0] != '/')
    return Fail(Errc::kInvalid, "must be an absolute path");
  target = value;
  while (target.size() > 1 && target.back() == '/')
    target.pop_back();
  return {};
}

Result<> SetSize(uint64_t& target, std::string_view value) {
  target = TRY(ParseSize(value));
  return {};
}

Result<> SetCount(uint64_t& target, std::string_view value, uint64_t least, uint64_t most) {
  uint64_t number = TRY(ParseUint(value));
  if (number < least || number > most) {
    return Fail(Errc::kInvalid, Cat("must be between ", least, " and ", most));
  }
  target = number;
  return {};
}

Result<> SetSeconds(std::chrono::seconds& target, std::string_view value) {
  auto duration = TRY(ParseGoDuration(value));
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  if (seconds.count() < 1)
    return Fail(Errc::kInvalid, "must be at least 1s");
  target = seconds;
  return {};
}

Result<> SetScrubInterval(Config& config, std::string_view value) {
  auto duration = TRY(ParseGoDuration(value));
  if (duration.count() < 0)
    return Fail(Errc::kInvalid, "must not be negative; 0s switches the background check off");
  config.scrub_interval = std::chrono::ceil<std::chrono::seconds>(duration);
  return {};
}

Result<> SetScrubRate(Config& config, std::string_view value) {
  uint64_t rate = TRY(ParseSize(value));
  if (rate == 0)
    return Fail(Errc::kInvalid, "must not be 0; scrub-interval = 0s switches the check off");
  config.scrub_rate = rate;
  return {};
}

Result<> SetBool(bool& target, std::string_view value) {
  if (value != "true" && value != "false")
    return Fail(Errc::kInvalid, "must be true or false");
  target = value == "true";
  return {};
}

Result<> SetNetwork(Config& config, std::string_view value) {
  if (value != "bridge" && value != "none" && value != "host")
    return Fail(Errc::kInvalid, "must be bridge, none or host");
  config.default_network = value;
  return {};
}

Result<> SetBridge(Config& config, std::string_view value) {
  if (!net::IsLinkName(value))
    return Fail(Errc::kInvalid, "must be a name of at most 15 letters, digits, '.', '_', '-'");
  config.bridge = value;
  return {};
}

Result<> SetBridgeSubnet(Config& config, std::string_view value) {
  config.bridge_subnet = {};
  if (value != "auto")
    config.bridge_subnet = TRY(net::ParseSubnet(value));
  return {};
}

Result<> SetCgroup(Config& config, std::string_view value) {
  TRY(SetPath(config.cgroup_parent, value));
  if (config.cgroup_parent.find("/..") != std::string::npos || config.cgroup_parent == "/") {
    return Fail(Errc::kInvalid, "must name a cgroup below the root, without ..");
  }
  return {};
}

Result<> SetLevel(Config& config, std::string_view value) {
  config.log_level = TRY(ParseLogLevel(value));
  return {};
}

constexpr std::string_view kVerityNames[] = {"off", "auto", "require"};

Result<> SetVerity(Config& config, std::string_view value) {
  auto found = std::ranges::find(kVerityNames, value);
  if (found == std::end(kVerityNames))
    return Fail(Errc::kInvalid, "must be off, auto or require");
  config.store.verity = static_cast<store::Verity>(found - std::begin(kVerityNames));
  return {};
}

Result<> SetTier(Config& config, std::string_view value) {
  config.store.tier = TRY(store::ParseTier(value));
  return {};
}

std::string TierSetting(const Config& config) {
  return std::string(config.store.tier ? store::TierName(*config.store.tier) : "auto");
}

Result<> SetRetries(Config& config, std::string_view value) {
  uint64_t count = 0;
  TRY(SetCount(count, value, 0, 1000));
  config.registry.retries = static_cast<int>(count);
  return {};
}

Result<> AddMirror(registry::HostOptions& host, std::string_view value) {
  if (!value.starts_with("http://") && !value.starts_with("https://")) {
    return Fail(Errc::kInvalid, "must be a URL that begins with http:// or https://");
  }
  host.mirrors.emplace_back(value);
  return {};
}

Result<> SetLevelOfTopic(std::string& target, std::string_view value) {
  TRY(CheckTopicLevel(value));
  target = value;
  return {};
}

Result<> SetBroker(Config& config, std::string_view value) {
  config.mqtt.broker = TRY(BrokerAddress::Parse(value));
  return {};
}

Result<> SetTelemetryPeriod(Config& config, std::string_view value) {
  auto duration = TRY(ParseGoDuration(value));
  if (duration.count() != 0)
    return SetSeconds(config.mqtt.telemetry_period, value);
  config.mqtt.telemetry_period = {};
  return {};
}

// "one, two"
Result<> SetGroups(Config& config, std::string_view value) {
  config.mqtt.groups.clear();
  for (std::string_view name : Split(value, ',')) {
    TRY(CheckTopicLevel(Trim(name)));
    config.mqtt.groups.emplace_back(Trim(name));
  }
  return {};
}

Result<> SetStopTimeout(Config& config, std::string_view value) {
  std::chrono::seconds seconds{};
  TRY(SetSeconds(seconds, value));
  config.stop_timeout_seconds = static_cast<int>(std::min<int64_t>(seconds.count(), 3600));
  return {};
}

Result<> SetRemap(Config& config, std::string_view value) {
  config.ids = TRY(ParseRemap(value));
  config.userns_remap = value;
  return {};
}

Result<> SetListen(Config& config, std::string_view value) {
  std::string address(value);
  TRY(tls::CheckListenAddress(address));
  config.https.listen = std::move(address);
  return {};
}

// "ops, ci": common names of certificates.
Result<> SetNames(std::vector<std::string>& target, std::string_view value) {
  std::vector<std::string> names;
  for (std::string_view part : Split(value, ',')) {
    std::string_view name = Trim(part);
    if (name.empty())
      return Fail(Errc::kInvalid, "must be common names of certificates, divided by commas");
    names.emplace_back(name);
  }
  target = std::move(names);
  return {};
}

Result<> SetSlots(Config& config, std::string_view value) {
  if (!board::IsKind(value))
    return Fail(Errc::kInvalid, Cat("must be one of ", board::KindNames()));
  config.slots.kind = value;
  return {};
}

std::string Seconds(int64_t count) {
  return Cat(count, "s");
}

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};

// clang-format off
constexpr Key kKeys[] = {
    {"daemon", "root", [](Config& c, std::string_view v) { return SetPath(c.root, v); },
                       [](const Config& c) { return c.root; }},
    {"daemon", "run", [](Config& c, std::string_view v) { return SetPath(c.run, v); },
                      [](const Config& c) { return c.run; }},
    {"daemon", "socket", [](Config& c, std::string_view v) { return SetPath(c.socket, v); },
                         [](const Config& c) { return c.socket; }},
    {"daemon", "socket-group", [](Config& c, std::string_view v) { c.socket_group = v; return Result<>(); },
                               [](const Config& c) { return c.socket_group; }},
    {"daemon", "cgroup-parent", SetCgroup, [](const Config& c) { return c.cgroup_parent; }},
    {"daemon", "shim", [](Config& c, std::string_view v) { return SetPath(c.shim, v); },
                       [](const Config& c) { return c.shim; }},
    {"daemon", "log-level", SetLevel,
                            [](const Config& c) { return std::string(kLevelNames[static_cast<size_t>(c.log_level)]); }},
    {"containers", "default-network", SetNetwork, [](const Config& c) { return c.default_network; }},
    {"containers", "userns-remap", SetRemap, [](const Config& c) { return c.userns_remap; }},
    {"networks", "bridge", SetBridge, [](const Config& c) { return c.bridge; }},
    {"networks", "bridge-subnet", SetBridgeSubnet,
        [](const Config& c) { return c.bridge_subnet.prefix == 0 ? "auto" : c.bridge_subnet.Text(); }},
    {"containers", "stop-timeout", SetStopTimeout, [](const Config& c) { return Seconds(c.stop_timeout_seconds); }},
    {"containers", "storage-size", [](Config& c, std::string_view v) { return SetSize(c.storage_size, v); },
                                   [](const Config& c) { return Cat(c.storage_size); }},
    {"containers", "log-max-size", [](Config& c, std::string_view v) { return SetSize(c.log_max_size, v); },
                                   [](const Config& c) { return Cat(c.log_max_size); }},
    {"containers", "log-max-files", [](Config& c, std::string_view v) { return SetCount(c.log_max_files, v, 1, 100); },
                                    [](const Config& c) { return Cat(c.log_max_files); }},
    {"store", "max-layer-size", [](Config& c, std::string_view v) { return SetSize(c.store.limits.max_layer_bytes, v); },
                                [](const Config& c) { return Cat(c.store.limits.max_layer_bytes); }},
    {"store", "max-layer-entries",
        [](Config& c, std::string_view v) { return SetCount(c.store.limits.max_layer_entries, v, 1, 100'000'000); },
        [](const Config& c) { return Cat(c.store.limits.max_layer_entries); }},
    {"store", "max-expansion",
        [](Config& c, std::string_view v) { return SetCount(c.store.limits.max_expansion, v, 2, 1'000'000); },
        [](const Config& c) { return Cat(c.store.limits.max_expansion); }},
    {"store", "reserve", [](Config& c, std::string_view v) { return SetSize(c.store.limits.reserve_bytes, v); },
                         [](const Config& c) { return Cat(c.store.limits.reserve_bytes); }},
    {"store", "max-zstd-window", [](Config& c, std::string_view v) { return SetSize(c.store.limits.max_zstd_window, v); },
                                 [](const Config& c) { return Cat(c.store.limits.max_zstd_window); }},
    {"store", "tier", SetTier, TierSetting},
    {"store", "factory", [](Config& c, std::string_view v) { return SetPath(c.store.factory, v); },
                         [](const Config& c) { return c.store.factory; }},
    {"store", "fs-verity", SetVerity, [](const Config& c) { return std::string(kVerityNames[static_cast<size_t>(c.store.verity)]); }},
    {"store", "gentle", [](Config& c, std::string_view v) { return SetBool(c.gentle, v); },
                        [](const Config& c) { return std::string(c.gentle ? "true" : "false"); }},
    {"store", "scrub-interval", SetScrubInterval, [](const Config& c) { return Seconds(c.scrub_interval.count()); }},
    {"store", "scrub-rate", SetScrubRate, [](const Config& c) { return Cat(c.scrub_rate); }},
    {"registries", "ca", [](Config& c, std::string_view v) { return SetPath(c.registry.system_ca, v); },
                         [](const Config& c) { return c.registry.system_ca; }},
    {"registries", "connect-timeout",
        [](Config& c, std::string_view v) { return SetSeconds(c.registry.connect_timeout, v); },
        [](const Config& c) { return Seconds(c.registry.connect_timeout.count()); }},
    {"registries", "stall-timeout",
        [](Config& c, std::string_view v) { return SetSeconds(c.registry.stall_timeout, v); },
        [](const Config& c) { return Seconds(c.registry.stall_timeout.count()); }},
    {"registries", "retries", SetRetries, [](const Config& c) { return Cat(c.registry.retries); }},
    {"mqtt", "broker", SetBroker, [](const Config& c) { return c.mqtt.broker.Text(); }},
    {"mqtt", "tenant", [](Config& c, std::string_view v) { return SetLevelOfTopic(c.mqtt.tenant, v); },
                       [](const Config& c) { return c.mqtt.tenant; }},
    {"mqtt", "device", [](Config& c, std::string_view v) { return SetLevelOfTopic(c.mqtt.device, v); },
                       [](const Config& c) { return c.mqtt.device; }},
    {"mqtt", "groups", SetGroups, [](const Config& c) { return Join(c.mqtt.groups, ", "); }},
    {"mqtt", "ca", [](Config& c, std::string_view v) { return SetPath(c.mqtt.ca, v); },
                   [](const Config& c) { return c.mqtt.ca; }},
    {"mqtt", "certificate", [](Config& c, std::string_view v) { return SetPath(c.mqtt.certificate, v); },
                            [](const Config& c) { return c.mqtt.certificate; }},
    {"mqtt", "key", [](Config& c, std::string_view v) { return SetPath(c.mqtt.key, v); },
                    [](const Config& c) { return c.mqtt.key; }},
    {"mqtt", "rollout-keys", [](Config& c, std::string_view v) { return SetPath(c.mqtt.rollout_keys, v); },
                             [](const Config& c) { return c.mqtt.rollout_keys; }},
    {"mqtt", "report-period", [](Config& c, std::string_view v) { return SetSeconds(c.mqtt.report_period, v); },
                              [](const Config& c) { return Seconds(c.mqtt.report_period.count()); }},
    {"mqtt", "telemetry-period", SetTelemetryPeriod,
                              [](const Config& c) { return Seconds(c.mqtt.telemetry_period.count()); }},
    {"updates", "keys", [](Config& c, std::string_view v) { return SetPath(c.update_keys, v); },
                        [](const Config& c) { return c.update_keys; }},
    {"updates", "reboot-command", [](Config& c, std::string_view v) { return SetPath(c.reboot_command, v); },
                                  [](const Config& c) { return c.reboot_command; }},
    {"updates", "credentials", [](Config& c, std::string_view v) { return SetPath(c.update_credentials, v); },
                               [](const Config& c) { return c.update_credentials; }},
    {"board", "slots", SetSlots, [](const Config& c) { return c.slots.kind; }},
    {"board", "slot-a", [](Config& c, std::string_view v) { return SetPath(c.slots.devices[0], v); },
                        [](const Config& c) { return c.slots.devices[0]; }},
    {"board", "slot-b", [](Config& c, std::string_view v) { return SetPath(c.slots.devices[1], v); },
                        [](const Config& c) { return c.slots.devices[1]; }},
    {"board", "environment", [](Config& c, std::string_view v) { return SetPath(c.slots.environment, v); },
                             [](const Config& c) { return c.slots.environment; }},
    {"board", "autoboot", [](Config& c, std::string_view v) { return SetPath(c.slots.autoboot, v); },
                          [](const Config& c) { return c.slots.autoboot; }},
    {"board", "watchdog", [](Config& c, std::string_view v) { return SetPath(c.watchdog, v); },
                          [](const Config& c) { return c.watchdog; }},
    {"board", "watchdog-timeout", [](Config& c, std::string_view v) { return SetSeconds(c.watchdog_timeout, v); },
                                  [](const Config& c) { return Seconds(c.watchdog_timeout.count()); }},
    {"https", "listen", SetListen, [](const Config& c) { return c.https.listen; }},
    {"https", "certificate", [](Config& c, std::string_view v) { return SetPath(c.https.certificate, v); },
                             [](const Config& c) { return c.https.certificate; }},
    {"https", "key", [](Config& c, std::string_view v) { return SetPath(c.https.key, v); },
                     [](const Config& c) { return c.https.key; }},
    {"https", "client-ca", [](Config& c, std::string_view v) { return SetPath(c.https.client_ca, v); },
                           [](const Config& c) { return c.https.client_ca; }},
    {"https", "admins", [](Config& c, std::string_view v) { return SetNames(c.https.admins, v); },
                        [](const Config& c) { return Join(c.https.admins, ", "); }},
    {"https", "readers", [](Config& c, std::string_view v) { return SetNames(c.https.readers, v); },
                         [](const Config& c) { return Join(c.https.readers, ", "); }},
};

// The key of a section [signatures "PREFIX"], and its value for names nothing is asked of.
constexpr std::string_view kSignatureKeys = "keys";
constexpr std::string_view kNoKeys = "none";

// One key of a section [registry "HOST"].
struct RegistryKey {
  std::string_view name;
  Result<> (*set)(registry::HostOptions& host, std::string_view value);
};
constexpr RegistryKey kRegistryKeys[] = {
    {"insecure", [](registry::HostOptions& h, std::string_view v) { return SetBool(h.insecure, v); }},
    {"ca", [](registry::HostOptions& h, std::string_view v) { return SetPath(h.ca_file, v); }},
    {"client-cert", [](registry::HostOptions& h, std::string_view v) { return SetPath(h.client_cert_file, v); }},
    {"client-key", [](registry::HostOptions& h, std::string_view v) { return SetPath(h.client_key_file, v); }},
    {"mirror", AddMirror},
};
// clang-format on

// `KIND "NAME"` -> NAME, empty when the section is another one.
std::string_view NameIn(std::string_view section, std::string_view kind) {
  if (!section.starts_with(Cat(kind, " \"")) || !section.ends_with("\""))
    return {};
  section.remove_prefix(kind.size() + 2);
  section.remove_suffix(1);
  return section;
}
std::string_view RegistryHost(std::string_view section) {
  return NameIn(section, "registry");
}
std::string_view SignedPrefix(std::string_view section) {
  return NameIn(section, "signatures");
}

Result<> SetSignatureKeys(Config& config, std::string_view prefix, std::string_view value) {
  std::string& keys = config.signatures[std::string(prefix)];
  if (value == kNoKeys) {
    keys.clear();
    return {};
  }
  return SetPath(keys, value);
}

std::string KnownKeys(std::string_view section) {
  std::string list;
  auto add = [&list](std::string_view name) { Append(list, list.empty() ? "" : ", ", name); };
  if (!RegistryHost(section).empty()) {
    for (const RegistryKey& key : kRegistryKeys)
      add(key.name);
  }
  if (!SignedPrefix(section).empty())
    add(kSignatureKeys);
  for (const Key& key : kKeys) {
    if (key.section == section)
      add(key.name);
  }
  return list;
}

// Applies one entry; the error has no place yet.
Result<> Apply(Config& config, std::string_view section, std::string_view name,
               std::string_view value) {
  if (std::string_view host = RegistryHost(section); !host.empty()) {
    for (const RegistryKey& key : kRegistryKeys) {
      if (key.name == name)
        return key.set(config.registry.hosts[std::string(host)], value);
    }
  }
  if (std::string_view prefix = SignedPrefix(section); !prefix.empty() && name == kSignatureKeys)
    return SetSignatureKeys(config, prefix, value);
  for (const Key& key : kKeys) {
    if (key.section == section && key.name == name)
      return key.set(config, value);
  }
  std::string known = KnownKeys(section);
  if (known.empty()) {
    return Fail(Errc::kNotFound,
                Cat("unknown section [", section,
                    "]; sections are [daemon], [containers], [networks], [store], [registries], ",
                    "[board], [https], [mqtt], [updates], [registry \"HOST\"] and ",
                    "[signatures \"PREFIX\"]"));
  }
  return Fail(Errc::kNotFound,
              Cat("unknown key in section [", section, "]; known keys are ", known));
}

Result<> ReadOne(Config& config, const std::string& file) {
  std::string text = TRY(ReadFile(file, kMaxConfigFile));
  return ParseIni(text, file, [&config](const IniEntry& entry) -> Result<> {
    std::string place = Cat(entry.file, ":", entry.line);
    auto applied = Apply(config, entry.section, entry.key, entry.value);
    if (!applied) {
      return Fail(Errc::kInvalid,
                  Cat(place, ": ", entry.key, " = ", entry.value, ": ", applied.error().message()));
    }
    config.origins[Cat(entry.section, ".", entry.key)] = place;
    return {};
  });
}

std::string Directory(const std::string& file) {
  auto split = SplitLast(file, '/');
  return split ? std::string(split->head) : std::string(".");
}

Result<> ReadDropIns(Config& config, const std::string& file) {
  std::string directory = Cat(Directory(file), "/conf.d");
  auto names = ListDir(directory);
  if (!names) {
    if (names.error().code() == Errc::kNotFound)
      return {};
    return std::unexpected(std::move(names).error());
  }
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (name.ends_with(".conf") && name[0] != '.')
      TRY(ReadOne(config, Cat(directory, "/", name)));
  }
  return {};
}

void FillDefaults(Config& config) {
  if (config.socket.empty())
    config.socket = Cat(config.run, "/wherry.sock");
  // Beside another instance, names of this one.
  bool only = config.run == "/run/wherry";
  std::string instance = Digest::Of(config.run).hex().substr(0, 8);
  if (config.cgroup_parent.empty())
    config.cgroup_parent = only ? "/wherry" : Cat("/wherry-", instance);
  if (config.bridge.empty())
    config.bridge = only ? "wherry0" : Cat("wh-", instance);
}

std::string Origin(const Config& config, const std::string& key) {
  auto found = config.origins.find(key);
  return found == config.origins.end() ? "default" : found->second;
}

struct Line {
  std::string section, key, value, origin;
};

// Every effective value in the order of the tables.
std::vector<Line> Lines(const Config& config) {
  std::vector<Line> lines;
  for (const Key& key : kKeys) {
    std::string full = Cat(key.section, ".", key.name);
    std::string value = key.get(config);
    // What is not set there has no form in the file.
    if ((key.section == "https" || key.section == "board") && value.empty())
      continue;
    lines.push_back(
        {std::string(key.section), std::string(key.name), std::move(value), Origin(config, full)});
  }
  for (const auto& [host, options] : config.registry.hosts) {
    std::string section = Cat("registry \"", host, "\"");
    auto add = [&](std::string_view key, std::string value) {
      lines.push_back(
          {section, std::string(key), std::move(value), Origin(config, Cat(section, ".", key))});
    };
    add("insecure", options.insecure ? "true" : "false");
    if (!options.ca_file.empty())
      add("ca", options.ca_file);
    if (!options.client_cert_file.empty())
      add("client-cert", options.client_cert_file);
    if (!options.client_key_file.empty())
      add("client-key", options.client_key_file);
    for (const std::string& mirror : options.mirrors)
      add("mirror", mirror);
  }
  for (const auto& [prefix, keys] : config.signatures) {
    std::string section = Cat("signatures \"", prefix, "\"");
    lines.push_back({section, std::string(kSignatureKeys),
                     keys.empty() ? std::string(kNoKeys) : keys,
                     Origin(config, Cat(section, ".", kSignatureKeys))});
  }
  return lines;
}

}  // namespace

Result<Config> LoadConfig(const std::string& file, const std::vector<ConfigOverride>& overrides) {
  Config config;
  auto read = ReadOne(config, file);
  if (!read) {
    bool absent_default = file == kDefaultConfigFile && read.error().code() == Errc::kNotFound;
    if (!absent_default)
      return std::unexpected(std::move(read).error().Wrap("configuration"));
  }
  TRY_CTX("configuration", ReadDropIns(config, file));
  for (const ConfigOverride& given : overrides) {
    TRY_CTX(Cat("option --", given.key, " ", given.value),
            Apply(config, "daemon", given.key, given.value));
    config.origins[Cat("daemon.", given.key)] = "command line";
  }
  TRY_CTX("configuration", CheckMqtt(config.mqtt));
  if (auto complete = CheckHttps(config.https); !complete) {
    return std::unexpected(
        std::move(complete).error().Wrap(Cat("configuration: ", Origin(config, "https.listen"))));
  }
  FillDefaults(config);
  return config;
}

std::string DescribeConfigJson(const Config& config) {
  JsonWriter json;
  json.Array();
  for (const Line& line : Lines(config)) {
    json.Object().Field("section", line.section).Field("key", line.key);
    json.Field("value", line.value).Field("origin", line.origin).End();
  }
  json.End();
  return json.Take();
}

std::string DescribeConfig(JsonValue lines) {
  std::string text;
  std::string section;
  for (JsonValue line : lines) {
    if (line["section"].str() != section || text.empty()) {
      section = line["section"].str();
      Append(text, text.empty() ? "" : "\n", "[", section, "]\n");
    }
    Append(text, "# ", line["origin"].str(), "\n", line["key"].str(), " = ", line["value"].str(),
           "\n");
  }
  return text;
}

}  // namespace wherry::engine
