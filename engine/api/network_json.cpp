#include "engine/api/network_json.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::engine::api {

namespace {

const Endpoint* FindEndpoint(const std::optional<Attachment>& attachment,
                             std::string_view network_id) {
  if (!attachment)
    return nullptr;
  for (const Endpoint& endpoint : attachment->endpoints) {
    if (endpoint.network_id == network_id)
      return &endpoint;
  }
  return nullptr;
}

// `request` is null for the networks that have no addresses, `endpoint` while the container does
// not run.
void WriteEndpoint(JsonWriter& json, const EndpointRequest* request, const Endpoint* endpoint,
                   std::string_view network_id) {
  json.Object().Key("IPAMConfig").Object();
  if (request != nullptr && request->address != net::Ipv4{})
    json.Field("IPv4Address", request->address.Text());
  json.End().Key("Links").Array().End();
  json.Field("Aliases", request != nullptr ? request->aliases : std::vector<std::string>());
  std::string mac = request != nullptr && request->mac ? net::MacText(*request->mac) : "";
  json.Field("MacAddress", endpoint != nullptr ? net::MacText(endpoint->mac) : mac);
  json.Key("DriverOpts").Null().Field("GwPriority", 0).Field("NetworkID", network_id);
  json.Field("EndpointID", endpoint != nullptr ? endpoint->id : "");
  json.Field("Gateway", endpoint != nullptr ? endpoint->gateway.Text() : "");
  json.Field("IPAddress", endpoint != nullptr ? endpoint->address.Text() : "");
  json.Field("IPPrefixLen", endpoint != nullptr ? endpoint->prefix : 0);
  json.Field("IPv6Gateway", "").Field("GlobalIPv6Address", "").Field("GlobalIPv6PrefixLen", 0);
  json.Field("DNSNames", endpoint != nullptr ? endpoint->names : std::vector<std::string>());
  json.End();
}

std::string AddressText(const BoundPort& port) {
  return port.host_address.Text();
}

// {"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"443/tcp":null}
void WritePortMap(JsonWriter& json, const Container& container,
                  const std::optional<Attachment>& attachment) {
  json.Key("Ports").Object();
  auto config = JsonDocument::Parse(container.config->config_json, "Config");
  std::vector<std::string> keys;
  if (attachment) {
    for (const BoundPort& port : attachment->ports)
      keys.push_back(PortText(port.container_port, port.protocol));
    for (JsonValue exposed : config ? (*config)["ExposedPorts"] : JsonValue())
      keys.emplace_back(exposed.key());
  }
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (const std::string& key : keys) {
    json.Key(key);
    bool any = false;
    for (const BoundPort& port : attachment->ports) {
      if (PortText(port.container_port, port.protocol) != key)
        continue;
      if (!any)
        json.Array();
      any = true;
      json.Object().Field("HostIp", AddressText(port)).Field("HostPort", Cat(port.host_port)).End();
    }
    if (any)
      json.End();
    else
      json.Null();
  }
  json.End();
}

}  // namespace

void WriteEndpoints(JsonWriter& json, const Container& container, const Networks& networks) {
  const ContainerConfig& config = *container.config;
  auto attachment = networks.Of(container.id);
  json.Key("Networks").Object();
  if (!HasEndpoints(config.host.network_mode) && !SharedWith(config.host.network_mode)) {
    auto network = networks.Find(config.host.network_mode);
    json.Key(config.host.network_mode);
    WriteEndpoint(json, nullptr, nullptr, network ? network->id : "");
  }
  for (const EndpointRequest& request : config.endpoints) {
    auto network = networks.Find(request.network);
    std::string id = network ? network->id : "";
    json.Key(network ? network->name : request.network);
    WriteEndpoint(json, &request, FindEndpoint(attachment, id), id);
  }
  json.End();
}

void WriteNetworkSettings(JsonWriter& json, const Container& container, const Networks& networks) {
  auto attachment = networks.Of(container.id);
  auto bridge = networks.Find(kBridgeNetwork);
  // The members without a network's name are those of the network "bridge".
  const Endpoint* main = bridge ? FindEndpoint(attachment, bridge->id) : nullptr;
  bool runs = HasProcess(container.state);
  json.Key("NetworkSettings").Object().Field("Bridge", "");
  json.Field("SandboxID", runs ? container.id : "");
  json.Field("SandboxKey", runs ? Cat("/proc/", container.status.pid, "/ns/net") : "");
  WritePortMap(json, container, attachment);
  json.Field("HairpinMode", false);
  json.Field("LinkLocalIPv6Address", "").Field("LinkLocalIPv6PrefixLen", 0);
  json.Key("SecondaryIPAddresses").Null().Key("SecondaryIPv6Addresses").Null();
  json.Field("EndpointID", main != nullptr ? main->id : "");
  json.Field("Gateway", main != nullptr ? main->gateway.Text() : "");
  json.Field("GlobalIPv6Address", "").Field("GlobalIPv6PrefixLen", 0);
  json.Field("IPAddress", main != nullptr ? main->address.Text() : "");
  json.Field("IPPrefixLen", main != nullptr ? main->prefix : 0).Field("IPv6Gateway", "");
  json.Field("MacAddress", main != nullptr ? net::MacText(main->mac) : "");
  WriteEndpoints(json, container, networks);
  json.End();
}

void WritePortList(JsonWriter& json, const Container& container, const Networks& networks) {
  json.Key("Ports").Array();
  auto attachment = networks.Of(container.id);
  auto config = JsonDocument::Parse(container.config->config_json, "Config");
  if (!attachment || !config) {
    json.End();
    return;
  }
  for (const BoundPort& port : attachment->ports) {
    json.Object().Field("IP", AddressText(port)).Field("PrivatePort", port.container_port);
    json.Field("PublicPort", port.host_port).Field("Type", ProtocolName(port.protocol)).End();
  }
  for (JsonValue exposed : (*config)["ExposedPorts"]) {
    auto number = ParsePort(exposed.key());
    bool shown = !number || std::ranges::any_of(attachment->ports, [&](const BoundPort& port) {
      return port.container_port == number->first && port.protocol == number->protocol;
    });
    if (!shown)
      json.Object()
          .Field("PrivatePort", number->first)
          .Field("Type", ProtocolName(number->protocol))
          .End();
  }
  json.End();
}

void WriteNetwork(JsonWriter& json, const Networks& networks, const Network& network,
                  bool members) {
  json.Object();
  WriteNetworkDefinition(json, network);
  json.Key("Containers").Object();
  for (const Networks::Member& member :
       members ? networks.Members(network.id) : std::vector<Networks::Member>()) {
    const Endpoint& endpoint = member.endpoint;
    json.Key(member.container_id).Object().Field("Name", member.container_name);
    json.Field("EndpointID", endpoint.id).Field("MacAddress", net::MacText(endpoint.mac));
    json.Field("IPv4Address", Cat(endpoint.address.Text(), "/", endpoint.prefix));
    json.Field("IPv6Address", "").End();
  }
  json.End().End();
}

}  // namespace wherry::engine::api
