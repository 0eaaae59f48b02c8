// network create, ls, rm, connect, disconnect, prune; port.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/create_rows.h"
#include "cli/filters.h"
#include "cli/table.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kCreate[] = {
    {"attachable", 0, kFlag, "", "Containers may join, as they always may"},
    {"driver", 'd', kValue, "DRIVER", "bridge (default) or overlay"},
    {"gateway", 0, kValue, "ADDRESS", "Address of the host in the network"},
    {"internal", 0, kFlag, "", "No way to the world outside"},
    {"ip-range", 0, kValue, "SUBNET", "Containers get addresses out of this part only"},
    {"label", 0, kList, "NAME[=VALUE]", "Label of the network"},
    {"opt", 'o', kList, "NAME=VALUE", "Option of the driver"},
    {"subnet", 0, kValue, "SUBNET", "Addresses of the network, for example 10.1.0.0/24"},
};
constexpr Option kLs[] = {
    {"filter", 'f', kList, "KEY=VALUE", "Only these: name, id, label, driver, type, dangling"},
    {"format", 0, kValue, "json", "One JSON object per line"},
    {"no-trunc", 0, kFlag, "", "Do not shorten"},
    {"quiet", 'q', kFlag, "", "Only IDs"},
};
constexpr Option kConnect[] = {
    {"alias", 0, kList, "NAME", "Further name of the container in the network"},
    {"ip", 0, kValue, "ADDRESS", "Address of the container"},
};
constexpr Option kPrune[] = {
    {"filter", 0, kList, "KEY=VALUE", "Only these: until, label, label!"},
    {"force", 'f', kFlag, "", "Do not ask"},
};

std::string Path(std::string_view name, std::string_view action = "") {
  return Cat("/networks/", Segment(name), action);
}

}  // namespace

std::span<const Option> NetworkCreateOptions() {
  return kCreate;
}
std::span<const Option> NetworkLsOptions() {
  return kLs;
}
std::span<const Option> NetworkConnectOptions() {
  return kConnect;
}
std::span<const Option> NetworkPruneOptions() {
  return kPrune;
}

Result<int> NetworkCreateCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  JsonWriter body;
  body.Object().Field("Name", call.word(0)).Field("Driver", arguments.Value("driver", "bridge"));
  body.Field("Internal", arguments.Flag("internal"));
  body.Field("Attachable", arguments.Flag("attachable"));
  TRY(WriteNameValues(body.Key("Labels"), arguments.List("label")));
  TRY(WriteNameValues(body.Key("Options"), arguments.List("opt")));
  body.Key("IPAM").Object().Key("Config").Array();
  if (arguments.Has("subnet") || arguments.Has("gateway") || arguments.Has("ip-range")) {
    body.Object().Field("Subnet", arguments.Value("subnet"));
    body.Field("Gateway", arguments.Value("gateway"));
    body.Field("IPRange", arguments.Value("ip-range")).End();
  }
  body.End().End().End();
  auto network = TRY(call.client.Post(Target("/networks/create"), body.text()));
  TRY(Print(Cat(network["Id"].str(), "\n")));
  return 0;
}

Result<int> NetworkLsCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string filters = TRY(FiltersJson(arguments.List("filter")));
  auto answer = TRY(call.client.Get(Target("/networks", {{"filters", filters}})));
  std::string text;
  std::vector<std::vector<std::string>> rows{{"NETWORK ID", "NAME", "DRIVER", "SCOPE"}};
  for (JsonValue network : answer.root()) {
    std::string id(network["Id"].str().substr(0, arguments.Flag("no-trunc") ? 64 : 12));
    if (arguments.Value("format") == "json")
      Append(text, network.Dump(), "\n");
    if (arguments.Flag("quiet"))
      Append(text, id, "\n");
    rows.push_back({id, std::string(network["Name"].str()), std::string(network["Driver"].str()),
                    std::string(network["Scope"].str())});
  }
  bool table = !arguments.Flag("quiet") && arguments.Value("format") != "json";
  TRY(Print(table ? FormatTable(rows) : text));
  return 0;
}

Result<int> NetworkRmCommand(const Invocation& call) {
  return ForEachWord(call, [&](const std::string& name) -> Result<> {
    TRY(call.client.Delete(Target(Path(name))));
    return {};
  });
}

Result<int> NetworkConnectCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  JsonWriter body;
  body.Object().Field("Container", call.word(1)).Key("EndpointConfig").Object();
  body.Field("Aliases", arguments.List("alias")).Key("IPAMConfig").Object();
  if (arguments.Has("ip"))
    body.Field("IPv4Address", arguments.Value("ip"));
  body.End().End().End();
  TRY(call.client.Post(Target(Path(call.word(0), "/connect")), body.text()));
  return 0;
}

Result<int> NetworkDisconnectCommand(const Invocation& call) {
  JsonWriter body;
  body.Object().Field("Container", call.word(1)).End();
  TRY(call.client.Post(Target(Path(call.word(0), "/disconnect")), body.text()));
  return 0;
}

Result<int> NetworkPruneCommand(const Invocation& call) {
  bool sure = TRY(Confirmed(call, "networks that no container uses"));
  if (!sure)
    return 0;
  std::string filters = TRY(FiltersJson(call.arguments.List("filter")));
  auto pruned = TRY(call.client.Post(Target("/networks/prune", {{"filters", filters}})));
  std::string text;
  for (const std::string& name : pruned["NetworksDeleted"].strings())
    Append(text, name, "\n");
  if (!text.empty())
    TRY(Print(Cat("Deleted Networks:\n", text)));
  return 0;
}

Result<int> PortCommand(const Invocation& call) {
  auto container =
      TRY(call.client.Get(Target(Cat("/containers/", Segment(call.word(0)), "/json"))));
  std::string wanted = call.words().size() > 1 ? call.word(1) : "";
  if (!wanted.empty() && wanted.find('/') == std::string::npos)
    wanted += "/tcp";
  std::string text;
  for (JsonValue port : container["NetworkSettings"]["Ports"]) {
    if (!wanted.empty() && port.key() != wanted)
      continue;
    for (JsonValue binding : port) {
      if (wanted.empty())
        Append(text, port.key(), " -> ");
      Append(text, binding["HostIp"].str(), ":", binding["HostPort"].str(), "\n");
    }
  }
  if (text.empty() && !wanted.empty())
    return Fail(Errc::kNotFound, Cat("no public port '", wanted, "' published for ", call.word(0)));
  TRY(Print(text));
  return 0;
}

}  // namespace wherry::cli
