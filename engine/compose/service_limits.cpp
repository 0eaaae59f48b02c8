// Small keys with a form of their own.
#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

struct Device {
  std::string source, target, permissions = "rwm";
};
constexpr KeyRow<Device> kDeviceKeys[] = {
    {"permissions", [](const Value& v, Device& out) { out.permissions = v.Text(); }},
    {"source", [](const Value& v, Device& out) { out.source = v.Text(); }},
    {"target", [](const Value& v, Device& out) { out.target = v.Text(); }},
};

// HOST[:CONTAINER[:PERMISSIONS]]
Device ReadDevice(const Value& value) {
  Device device;
  if (value.IsMap()) {
    ReadKeys<Device>(value, kDeviceKeys, device);
  } else {
    std::string text = value.Text();
    auto parts = Split(text, ':');
    if (parts.size() > 3)
      value.Bad("is not HOST[:CONTAINER[:PERMISSIONS]]");
    device.source = parts[0];
    device.target = parts.size() > 1 ? std::string(parts[1]) : std::string();
    if (parts.size() > 2)
      device.permissions = parts[2];
  }
  if (!device.source.starts_with('/'))
    value.Bad("needs the path of a device on the host");
  if (device.target.empty())
    device.target = device.source;
  return device;
}

struct Ulimit {
  int64_t soft = 0, hard = 0;
};
constexpr KeyRow<Ulimit> kUlimitKeys[] = {
    {"hard", [](const Value& v, Ulimit& out) { out.hard = v.Number(); }},
    {"soft", [](const Value& v, Ulimit& out) { out.soft = v.Number(); }},
};

struct Logging {
  std::string driver = "json-file";
  std::map<std::string, std::string, std::less<>> options;
};
constexpr KeyRow<Logging> kLoggingKeys[] = {
    {"driver", [](const Value& v, Logging& out) { out.driver = v.Text(); }},
    {"options", [](const Value& v, Logging& out) { out.options = v.Strings(); }},
};

}  // namespace

void ReadDevices(const Value& value, Service& service) {
  if (!value.ExpectList())
    return;
  JsonWriter json;
  json.Array();
  for (size_t i = 0; i < value.size(); ++i) {
    Device device = ReadDevice(value.Element(i));
    json.Object().Field("PathOnHost", device.source).Field("PathInContainer", device.target);
    json.Field("CgroupPermissions", device.permissions).End();
  }
  json.End();
  service.host_config["Devices"] = json.Take();
}

void ReadUlimits(const Value& value, Service& service) {
  if (!value.ExpectMap())
    return;
  JsonWriter json;
  json.Array();
  for (size_t i = 0; i < value.size(); ++i) {
    Ulimit limit;
    Value member = value.Member(i);
    if (member.IsMap()) {
      ReadKeys<Ulimit>(member, kUlimitKeys, limit);
    } else {
      limit.soft = limit.hard = member.Number();
    }
    json.Object().Field("Name", value.Key(i)).Field("Soft", limit.soft);
    json.Field("Hard", limit.hard).End();
  }
  json.End();
  service.host_config["Ulimits"] = json.Take();
}

void ReadRestart(const Value& value, Service& service) {
  constexpr std::string_view kPolicies[] = {"no", "always", "unless-stopped", "on-failure"};
  std::string text = value.Text();
  // Written without quotes, `no` is a word of YAML 1.2, but older tools make it a boolean.
  if (text == "false")
    text = "no";
  auto split = SplitFirst(text, ':');
  std::string_view name = split ? split->head : std::string_view(text);
  auto count = split ? ParseUint(split->tail) : Result<uint64_t>(0);
  bool known = std::ranges::find(kPolicies, name) != std::end(kPolicies);
  if (!known || !count || (split && name != "on-failure") || *count > INT32_MAX) {
    value.Bad("must be no, always, unless-stopped or on-failure[:COUNT]");
    return;
  }
  JsonWriter json;
  json.Object().Field("Name", name).Field("MaximumRetryCount", *count).End();
  service.host_config["RestartPolicy"] = json.Take();
}

void ReadLogging(const Value& value, Service& service) {
  Logging logging;
  ReadKeys<Logging>(value, kLoggingKeys, logging);
  JsonWriter json;
  json.Object().Field("Type", logging.driver).Key("Config").Object();
  for (const auto& [name, text] : logging.options)
    json.Field(name, text);
  json.End().End();
  service.host_config["LogConfig"] = json.Take();
}

// "NAME:IP", "NAME=IP", or NAME: IP.
void ReadExtraHosts(const Value& value, Service& service) {
  std::vector<std::string> hosts;
  for (const auto& [name, address] : value.NameValues()) {
    hosts.push_back(address ? Cat(name, ":", *address) : name);
    if (hosts.back().find(':') == std::string::npos)
      value.Bad(Cat("has ", name, " without an address"));
  }
  service.host_config["ExtraHosts"] = JsonWriter().Strings(hosts).Take();
}

// PATH[:OPTIONS]
void ReadTmpfs(const Value& value, Service& service) {
  JsonWriter json;
  json.Object();
  for (const std::string& text : value.TextOrTexts()) {
    auto split = SplitFirst(text, ':');
    json.Field(split ? split->head : std::string_view(text),
               split ? split->tail : std::string_view());
  }
  json.End();
  service.host_config["Tmpfs"] = json.Take();
}

}  // namespace wherry::compose
