// A container's place in networks: what it asks for, and what it has while it runs. Plain data and
// pure functions.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "net/link/address.h"

namespace wherry::engine {

struct EndpointRequest {
  std::string network;               // name or ID, as asked for
  std::vector<std::string> aliases;  // further names on that network
  net::Ipv4 address;                 // 0.0.0.0: any
  std::optional<net::Mac> mac;
};

// A port of the container that the host offers.
struct PortRequest {
  uint8_t protocol = IPPROTO_TCP;  // IPPROTO_TCP, IPPROTO_UDP
  uint16_t container_port = 0;
  net::Ipv4 host_address;   // 0.0.0.0: the network's default
  uint16_t first_port = 0;  // the first free one of these; 0: any free port
  uint16_t last_port = 0;
};

struct Endpoint {
  std::string id;          // 64 hexadecimal digits
  std::string network_id;  // of Network
  std::string interface;   // inside: "eth0"
  std::string host_interface;
  net::Ipv4 address;
  uint8_t prefix = 0;
  net::Ipv4 gateway;
  net::Mac mac{};
  std::vector<std::string> names;  // in the network: container name, short ID, aliases
};

struct BoundPort {
  uint8_t protocol = IPPROTO_TCP;
  uint16_t container_port = 0;
  net::Ipv4 host_address;
  uint16_t host_port = 0;
  bool operator==(const BoundPort&) const = default;
};

// All of a running container. The first endpoint is the way out, and ports lead to it.
struct Attachment {
  std::vector<Endpoint> endpoints;
  std::vector<BoundPort> ports;
  bool aside = false;  // another container has its ports and aliases: see Networks::HandOver
};

std::string_view ProtocolName(uint8_t protocol);  // "tcp", "udp"
// "80/tcp"
std::string PortText(uint16_t port, uint8_t protocol);

struct PortNumber {
  uint16_t first = 0;
  uint16_t last = 0;
  uint8_t protocol = IPPROTO_TCP;
};
// "80", "80/udp", "8000-8010/tcp". kInvalid in Docker's words; kUnsupported for sctp.
Result<PortNumber> ParsePort(std::string_view text);

// HostConfig.PortBindings; with PublishAllPorts also each of `exposed` that is not named.
Result<std::vector<PortRequest>> ParsePortBindings(JsonValue host_config, JsonValue exposed);

// NetworkingConfig.EndpointsConfig of a request, the network of `mode` first and always there
// unless it is no network of its own ("host", "none", "container:x"); "default" stands for `mode`.
Result<std::vector<EndpointRequest>> RequestedEndpoints(JsonValue networking,
                                                        std::string_view mode);
// The same as EndpointsJson wrote it.
Result<std::vector<EndpointRequest>> ReadEndpoints(JsonValue networking);
// One member of EndpointsConfig.
Result<EndpointRequest> ParseEndpoint(std::string_view network, JsonValue settings);
// {"EndpointsConfig":{...}}
std::string EndpointsJson(const std::vector<EndpointRequest>& endpoints);

// Whether a container in that mode gets a network namespace with endpoints.
bool HasEndpoints(std::string_view mode);
// "x" of "container:x".
std::optional<std::string_view> SharedWith(std::string_view mode);

// What a running container has, kept in its run directory for the next daemon.
std::string AttachmentJson(const Attachment& attachment);
Result<Attachment> ParseAttachment(std::string_view text);

}  // namespace wherry::engine
