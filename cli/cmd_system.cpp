// version, info, events, daemon, config.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/filters.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/config.h"
#include "engine/daemon.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kFormat[] = {{"format", 'f', kValue, "json", "The whole answer as JSON"}};
constexpr Option kEvents[] = {
    {"filter", 'f', kList, "KEY=VALUE", "Only matching ones: type, event, container, image, label"},
    {"format", 0, kValue, "json", "One JSON object per line"},
    {"since", 0, kValue, "TIME", "Begin with past events"},
    {"until", 0, kValue, "TIME", "End at this time"},
};
constexpr Option kDaemon[] = {
    {"cgroup-parent", 0, kValue, "PATH", "Cgroup all containers live below"},
    {"config", 0, kValue, "FILE", "Configuration file"},
    {"log-level", 0, kValue, "LEVEL", "debug, info, warning or error"},
    {"root", 0, kValue, "DIR", "Directory of persistent data"},
    {"run", 0, kValue, "DIR", "Directory of run-time state"},
    {"socket", 0, kValue, "PATH", "Socket to serve"},
};
constexpr Option kConfig[] = {
    {"config", 0, kValue, "FILE", "Read this file; do not ask the daemon"},
    {"format", 0, kValue, "json", "As JSON"},
};

Result<int> PrintText(std::string_view text) {
  TRY(Print(text));
  return 0;
}

// "Server Version: 0.1.0" for each plain member, nested objects indented.
void Describe(std::string& text, JsonValue object, size_t indent) {
  for (JsonValue member : object) {
    std::string key(member.key());
    if (member.IsString() && !member.str().empty()) {
      Append(text, std::string(indent, ' '), key, ": ", member.str(), "\n");
    } else if (member.IsNumber()) {
      Append(text, std::string(indent, ' '), key, ": ", member.integer(), "\n");
    } else if (member.IsBool()) {
      Append(text, std::string(indent, ' '), key, ": ", member.boolean() ? "true" : "false", "\n");
    } else if (member.IsObject() && member.size() > 0) {
      Append(text, std::string(indent, ' '), key, ":\n");
      Describe(text, member, indent + 1);
    } else if (member.IsArray() && key == "DriverStatus") {
      for (JsonValue pair : member) {
        Append(text, std::string(indent + 1, ' '), pair.at(0).str(), ": ", pair.at(1).str(), "\n");
      }
    }
  }
}

std::string EventText(JsonValue event) {
  std::string attributes;
  for (JsonValue attribute : event["Actor"]["Attributes"]) {
    Append(attributes, attributes.empty() ? "" : ", ", attribute.key(), "=", attribute.str());
  }
  return Cat(FormatRfc3339Nano(event["timeNano"].integer()), " ", event["Type"].str(), " ",
             event["Action"].str(), " ", event["Actor"]["ID"].str(), attributes.empty() ? "" : " (",
             attributes, attributes.empty() ? "" : ")", "\n");
}

}  // namespace

std::span<const Option> FormatOptions() {
  return kFormat;
}
std::span<const Option> EventsOptions() {
  return kEvents;
}
std::span<const Option> DaemonOptions() {
  return kDaemon;
}
std::span<const Option> ConfigOptions() {
  return kConfig;
}

Result<int> VersionCommand(const Invocation& call) {
  auto server = call.client.Get(Target("/version"));
  if (call.arguments.Value("format") == "json") {
    JsonWriter json;
    json.Object().Key("Client").Object().Field("Version", WHERRY_VERSION).End();
    json.Field("Server", server ? server->root() : JsonValue()).End();
    return PrintText(Cat(json.text(), "\n"));
  }
  TRY(PrintText(Cat("Client:\n Version: ", WHERRY_VERSION, "\n")));
  if (!server)
    return std::unexpected(std::move(server).error());
  std::string text = "Server:\n";
  for (std::string_view key :
       {"Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion"}) {
    Append(text, " ", key, ": ", (*server)[key].str(), "\n");
  }
  return PrintText(text);
}

Result<int> InfoCommand(const Invocation& call) {
  auto info = TRY(call.client.Get(Target("/info")));
  if (call.arguments.Value("format") == "json")
    return PrintText(Cat(info.root().Dump(), "\n"));
  std::string text;
  Describe(text, info.root(), 0);
  return PrintText(text);
}

Result<int> EventsCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string filters = TRY(FiltersJson(arguments.List("filter")));
  Query query{{"filters", filters},
              {"since", arguments.Value("since")},
              {"until", arguments.Value("until")}};
  auto source = TRY(call.client.Open("GET", Target("/events", query)));
  bool json = arguments.Value("format") == "json";
  auto show = [json](std::string_view line) -> Result<> {
    auto event = TRY(JsonDocument::Parse(line, "event"));
    return Print(json ? Cat(line, "\n") : EventText(event.root()));
  };
  TRY(ForEachLine(*source, show));
  return 0;
}

Result<int> DaemonCommand(const Invocation& call) {
  std::vector<engine::ConfigOverride> overrides;
  for (const Option& option : kDaemon) {
    std::string name(option.name);
    if (name != "config" && call.arguments.Has(name))
      overrides.push_back({name, call.arguments.Value(name)});
  }
  auto config =
      TRY(engine::LoadConfig(call.arguments.Value("config", call.config_file), overrides));
  TRY(engine::RunDaemon(std::move(config)));
  return 0;
}

Result<int> ConfigCommand(const Invocation& call) {
  bool json = call.arguments.Value("format") == "json";
  if (!call.arguments.Has("config")) {
    auto effective = call.client.Get("/wherry/v1/config");
    if (effective) {
      return PrintText(json ? Cat(effective->root().Dump(), "\n")
                            : engine::DescribeConfig(effective->root()));
    }
    if (effective.error().code() != Errc::kUnavailable)
      return std::unexpected(std::move(effective).error());
  }
  auto config = TRY(engine::LoadConfig(call.arguments.Value("config", call.config_file), {}));
  std::string lines = engine::DescribeConfigJson(config);
  if (json)
    return PrintText(Cat(lines, "\n"));
  auto document = TRY(JsonDocument::Parse(lines, "configuration"));
  return PrintText(engine::DescribeConfig(document.root()));
}

}  // namespace wherry::cli
