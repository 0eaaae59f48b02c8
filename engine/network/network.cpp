#include "engine/network/network.h"

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/network/network_options.h"
#include "net/link/link.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxName = 128;
constexpr size_t kIdInBridgeName = 12;

Result<> CheckName(std::string_view name) {
  if (name.empty())
    return Fail(Errc::kInvalid, "network name cannot be empty");
  constexpr std::string_view kFirst =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  bool good = name.size() <= kMaxName && kFirst.find(name[0]) != std::string_view::npos;
  for (char c : name)
    good = good && (kFirst.find(c) != std::string_view::npos || c == '_' || c == '.' || c == '-');
  if (good)
    return {};
  return Fail(Errc::kInvalid, Cat("invalid network name \"", name,
                                  "\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"));
}

Result<> ParseIpam(Network& network, JsonValue ipam) {
  std::string_view driver = ipam["Driver"].str("default");
  if (driver != "default" && !driver.empty())
    return Fail(Errc::kUnsupported,
                Cat("IPAM driver \"", driver, "\" is not supported in this version"));
  JsonValue config = ipam["Config"];
  if (config.size() > 1)
    return Fail(Errc::kUnsupported, "more than one subnet (IPAM.Config) is not supported");
  JsonValue pool = config.at(0);
  std::string_view subnet = pool["Subnet"].str();
  if (subnet.empty() && !(pool["Gateway"].str().empty() && pool["IPRange"].str().empty()))
    return Fail(Errc::kInvalid, "a gateway or an IP range needs a subnet");
  if (subnet.find(':') != std::string_view::npos)
    return Fail(Errc::kUnsupported, "IPv6 subnets are not supported in this version");
  if (!subnet.empty())
    network.subnet = TRY(net::ParseSubnet(subnet));
  if (!pool["Gateway"].str().empty())
    network.gateway = TRY_CTX("gateway", net::ParseIpv4(pool["Gateway"].str()));
  if (!pool["IPRange"].str().empty())
    network.range = TRY_CTX("IP range", net::ParseSubnet(pool["IPRange"].str()));
  if (pool["AuxiliaryAddresses"].size() != 0)
    return Fail(Errc::kUnsupported, "auxiliary addresses (--aux-address) are not supported");
  return {};
}

Result<> ReadStrings(std::map<std::string, std::string>& out, JsonValue object,
                     std::string_view name) {
  for (JsonValue entry : object) {
    if (!entry.IsString())
      return Fail(Errc::kInvalid, Cat("invalid JSON: ", name, " must be an object of strings"));
    out[std::string(entry.key())] = entry.str();
  }
  return {};
}

void WriteStrings(JsonWriter& json, std::string_view name,
                  const std::map<std::string, std::string>& values) {
  json.Key(name).Object();
  for (const auto& [key, value] : values)
    json.Field(key, value);
  json.End();
}

}  // namespace

std::string_view DriverName(NetworkDriver driver) {
  constexpr std::string_view kNames[] = {"bridge", "overlay", "host", "null"};
  return kNames[static_cast<size_t>(driver)];
}

Result<Network> ParseNetworkRequest(JsonValue body) {
  if (!body.IsObject())
    return Fail(Errc::kInvalid, "invalid JSON: a network must be an object");
  Network network;
  network.name = body["Name"].str();
  TRY(CheckName(network.name));
  std::string_view driver = body["Driver"].str();
  if (driver == DriverName(NetworkDriver::kOverlay)) {
    network.driver = NetworkDriver::kOverlay;
    network.tunnel.emplace();
  } else if (!driver.empty() && driver != "bridge" && driver != "default") {
    return Fail(Errc::kUnsupported,
                Cat("network driver \"", driver,
                    "\" is not supported in this version; use bridge or overlay"));
  }
  if (body["EnableIPv6"].boolean())
    return Fail(Errc::kUnsupported, "IPv6 networks (EnableIPv6) are not supported in this version");
  if (body["Ingress"].boolean() || body["ConfigOnly"].boolean())
    return Fail(Errc::kUnsupported, "swarm networks are not supported");
  network.internal = body["Internal"].boolean();
  network.attachable = body["Attachable"].boolean();
  TRY(ReadStrings(network.labels, body["Labels"], "Labels"));
  TRY(ReadStrings(network.options, body["Options"], "Options"));
  TRY(ReadOptions(network));
  TRY(ParseIpam(network, body["IPAM"]));
  TRY(CompleteTunnel(network));
  return network;
}

void WriteNetworkDefinition(JsonWriter& json, const Network& network) {
  json.Field("Name", network.name).Field("Id", network.id);
  json.Field("Created", FormatRfc3339Nano(network.created_nanos)).Field("Scope", "local");
  json.Field("Driver", DriverName(network.driver)).Field("EnableIPv4", true);
  json.Field("EnableIPv6", false);
  json.Key("IPAM").Object().Field("Driver", "default").Key("Options").Object().End();
  json.Key("Config").Array();
  if (network.HasBridge() && network.subnet.prefix != 0) {
    json.Object().Field("Subnet", network.subnet.Text());
    if (network.range)
      json.Field("IPRange", network.range->Text());
    json.Field("Gateway", network.gateway.Text()).End();
  }
  json.End().End();
  json.Field("Internal", network.internal).Field("Attachable", network.attachable);
  json.Field("Ingress", false).Key("ConfigFrom").Object().Field("Network", "").End();
  json.Field("ConfigOnly", false);
  WriteStrings(json, "Options", network.options);
  WriteStrings(json, "Labels", network.labels);
}

std::string NetworkRecordJson(const Network& network) {
  JsonWriter json;
  json.Object().Field("version", 1).Field("bridge", network.bridge).Key("network").Object();
  WriteNetworkDefinition(json, network);
  json.End().End();
  return json.Take();
}

Result<Network> ParseNetworkRecord(std::string_view text) {
  auto document = TRY(JsonDocument::Parse(text, "network record"));
  if (document["version"].integer() != 1)
    return Fail(Errc::kUnsupported, "was written by another version of wherry");
  JsonValue body = document["network"];
  Network network = TRY(ParseNetworkRequest(body));
  network.id = body["Id"].str();
  network.created_nanos = TRY(ParseRfc3339(body["Created"].str()));
  network.bridge = document["bridge"].str();
  if (network.id.size() < kIdInBridgeName || network.subnet.prefix == 0 ||
      !net::IsLinkName(network.bridge))
    return Fail(Errc::kCorrupt, "is not the record of a network");
  return network;
}

}  // namespace wherry::engine
