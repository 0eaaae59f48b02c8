#include "engine/network/endpoint.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kSharedMode = "container:";
constexpr size_t kMaxPorts = 4096;  // of one container

struct ProtocolRow {
  std::string_view name;
  uint8_t number;
};
constexpr ProtocolRow kProtocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}};

Result<uint16_t> PortNumberOf(std::string_view text, std::string_view whole) {
  auto number = ParseUint(text);
  if (!number || *number > 0xffff)
    return Fail(Errc::kInvalid, Cat("invalid port specification: \"", whole, "\""));
  return static_cast<uint16_t>(*number);
}

Result<PortRequest> ParseBinding(const PortNumber& port, JsonValue binding) {
  PortRequest request{.protocol = port.protocol, .container_port = port.first, .host_address = {}};
  std::string_view address = binding["HostIp"].str();
  if (address.find(':') != std::string_view::npos)
    return Fail(Errc::kUnsupported,
                Cat("publishing ports on an IPv6 address (", address, ") is not supported"));
  if (!address.empty())
    request.host_address = TRY_CTX("HostIp", net::ParseIpv4(address));
  std::string_view host = binding["HostPort"].str();
  if (host.empty() || host == "0")
    return request;
  auto ends = SplitFirst(host, '-');
  request.first_port = TRY(PortNumberOf(ends ? ends->head : host, host));
  request.last_port = ends ? TRY(PortNumberOf(ends->tail, host)) : request.first_port;
  if (request.first_port == 0 || request.last_port < request.first_port)
    return Fail(Errc::kInvalid, Cat("invalid port specification: \"", host, "\""));
  return request;
}

// Those that are exposed and not published by name go to any free port.
Result<> AddExposed(std::vector<PortRequest>& ports, JsonValue exposed) {
  for (JsonValue entry : exposed) {
    PortNumber range = TRY(ParsePort(entry.key()));
    for (uint32_t port = range.first; port <= range.last && ports.size() <= kMaxPorts; ++port) {
      bool named = std::ranges::any_of(ports, [&](const PortRequest& other) {
        return other.container_port == port && other.protocol == range.protocol;
      });
      if (!named)
        ports.push_back({.protocol = range.protocol,
                         .container_port = static_cast<uint16_t>(port),
                         .host_address = {}});
    }
  }
  return {};
}

}  // namespace

std::string_view ProtocolName(uint8_t protocol) {
  for (const ProtocolRow& row : kProtocols) {
    if (row.number == protocol)
      return row.name;
  }
  return "";
}

std::string PortText(uint16_t port, uint8_t protocol) {
  return Cat(port, "/", ProtocolName(protocol));
}

Result<PortNumber> ParsePort(std::string_view text) {
  auto split = SplitFirst(text, '/');
  std::string_view range = split ? split->head : text;
  std::string_view name = split ? split->tail : "tcp";
  PortNumber port;
  auto row = std::ranges::find(kProtocols, name, &ProtocolRow::name);
  if (row == std::end(kProtocols)) {
    if (name == "sctp")
      return Fail(Errc::kUnsupported, Cat("port ", text, ": sctp is not supported"));
    return Fail(Errc::kInvalid, Cat("invalid proto: ", name));
  }
  port.protocol = row->number;
  auto ends = SplitFirst(range, '-');
  port.first = TRY(PortNumberOf(ends ? ends->head : range, text));
  port.last = ends ? TRY(PortNumberOf(ends->tail, text)) : port.first;
  if (port.first == 0 || port.last < port.first)
    return Fail(Errc::kInvalid, Cat("invalid port specification: \"", text, "\""));
  return port;
}

Result<std::vector<PortRequest>> ParsePortBindings(JsonValue host_config, JsonValue exposed) {
  std::vector<PortRequest> ports;
  JsonValue bindings = host_config["PortBindings"];
  for (JsonValue entry : bindings) {
    PortNumber port = TRY(ParsePort(entry.key()));
    if (port.last != port.first)
      return Fail(Errc::kInvalid, Cat("invalid port specification: \"", entry.key(), "\""));
    for (JsonValue binding : entry)
      ports.push_back(TRY(ParseBinding(port, binding)));
  }
  if (host_config["PublishAllPorts"].boolean())
    TRY(AddExposed(ports, exposed));
  if (ports.size() > kMaxPorts)
    return Fail(Errc::kInvalid, Cat("more than ", kMaxPorts, " published ports"));
  return ports;
}

bool HasEndpoints(std::string_view mode) {
  return mode != "host" && mode != "none" && !SharedWith(mode);
}

std::optional<std::string_view> SharedWith(std::string_view mode) {
  if (!mode.starts_with(kSharedMode))
    return std::nullopt;
  return mode.substr(kSharedMode.size());
}

Result<EndpointRequest> ParseEndpoint(std::string_view network, JsonValue settings) {
  EndpointRequest request;
  request.network = network;
  request.aliases = settings["Aliases"].strings();
  std::string_view address = settings["IPAMConfig"]["IPv4Address"].str();
  if (!settings["IPAMConfig"]["IPv6Address"].str().empty())
    return Fail(Errc::kUnsupported, "IPv6 addresses (--ip6) are not supported in this version");
  if (!address.empty())
    request.address = TRY(net::ParseIpv4(address));
  if (!settings["MacAddress"].str().empty())
    request.mac = TRY(net::ParseMac(settings["MacAddress"].str()));
  if (settings["Links"].size() != 0)
    return Fail(Errc::kUnsupported,
                "links between containers (--link) are not supported; "
                "containers of one network find each other by name");
  return request;
}

Result<std::vector<EndpointRequest>> ReadEndpoints(JsonValue networking) {
  std::vector<EndpointRequest> endpoints;
  for (JsonValue entry : networking["EndpointsConfig"])
    endpoints.push_back(TRY(ParseEndpoint(entry.key(), entry)));
  return endpoints;
}

Result<std::vector<EndpointRequest>> RequestedEndpoints(JsonValue networking,
                                                        std::string_view mode) {
  std::vector<EndpointRequest> endpoints;
  if (!HasEndpoints(mode))
    return endpoints;
  for (JsonValue entry : networking["EndpointsConfig"]) {
    std::string_view name = entry.key() == "default" ? mode : entry.key();
    if (!HasEndpoints(name))
      return Fail(Errc::kInvalid, Cat("a container of network \"", mode,
                                      "\" cannot be in network \"", name, "\" as well"));
    endpoints.push_back(TRY(ParseEndpoint(name, entry)));
  }
  auto main = std::ranges::find(endpoints, mode, &EndpointRequest::network);
  if (main == endpoints.end()) {
    endpoints.insert(endpoints.begin(), {std::string(mode), {}, {}, std::nullopt});
  } else {
    std::rotate(endpoints.begin(), main, main + 1);
  }
  return endpoints;
}

std::string EndpointsJson(const std::vector<EndpointRequest>& endpoints) {
  JsonWriter json;
  json.Object().Key("EndpointsConfig").Object();
  for (const EndpointRequest& endpoint : endpoints) {
    json.Key(endpoint.network).Object().Key("IPAMConfig").Object();
    if (endpoint.address != net::Ipv4{})
      json.Field("IPv4Address", endpoint.address.Text());
    json.End().Field("Aliases", endpoint.aliases);
    json.Field("MacAddress", endpoint.mac ? net::MacText(*endpoint.mac) : "").End();
  }
  json.End().End();
  return json.Take();
}

std::string AttachmentJson(const Attachment& attachment) {
  JsonWriter json;
  json.Object().Key("endpoints").Array();
  for (const Endpoint& endpoint : attachment.endpoints) {
    json.Object().Field("id", endpoint.id).Field("network", endpoint.network_id);
    json.Field("interface", endpoint.interface).Field("host_interface", endpoint.host_interface);
    json.Field("address", endpoint.address.Text()).Field("prefix", endpoint.prefix);
    json.Field("gateway", endpoint.gateway.Text()).Field("mac", net::MacText(endpoint.mac));
    json.Field("names", endpoint.names).End();
  }
  json.End().Key("ports").Array();
  for (const BoundPort& port : attachment.ports) {
    json.Object().Field("container", PortText(port.container_port, port.protocol));
    json.Field("address", port.host_address.Text()).Field("port", port.host_port).End();
  }
  json.End().Field("aside", attachment.aside).End();
  return json.Take();
}

Result<Attachment> ParseAttachment(std::string_view text) {
  auto document = TRY(JsonDocument::Parse(text, "network state"));
  Attachment attachment;
  attachment.aside = document["aside"].boolean();
  for (JsonValue entry : document["endpoints"]) {
    Endpoint endpoint;
    endpoint.id = entry["id"].str();
    endpoint.network_id = entry["network"].str();
    endpoint.interface = entry["interface"].str();
    endpoint.host_interface = entry["host_interface"].str();
    endpoint.address = TRY(net::ParseIpv4(entry["address"].str()));
    endpoint.prefix = static_cast<uint8_t>(std::clamp<int64_t>(entry["prefix"].integer(), 0, 32));
    endpoint.gateway = TRY(net::ParseIpv4(entry["gateway"].str()));
    endpoint.mac = TRY(net::ParseMac(entry["mac"].str()));
    endpoint.names = entry["names"].strings();
    attachment.endpoints.push_back(std::move(endpoint));
  }
  for (JsonValue entry : document["ports"]) {
    PortNumber port = TRY(ParsePort(entry["container"].str()));
    BoundPort bound{.protocol = port.protocol, .container_port = port.first, .host_address = {}};
    bound.host_address = TRY(net::ParseIpv4(entry["address"].str()));
    bound.host_port = static_cast<uint16_t>(entry["port"].integer());
    attachment.ports.push_back(bound);
  }
  return attachment;
}

}  // namespace wherry::engine
