// What a network is: the record that outlives the daemon, and the request it is made from. Docker
// Engine API v1.47: Network, NetworkCreateRequest. Hostile JSON; pure, thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "net/link/address.h"
#include "net/link/tunnel.h"

namespace wherry::engine {

enum class NetworkDriver : uint8_t { kBridge, kOverlay, kHost, kNull };

std::string_view DriverName(NetworkDriver driver);  // "bridge", "overlay", "host", "null"

struct Network {
  std::string id;  // 64 hexadecimal digits
  std::string name;
  NetworkDriver driver = NetworkDriver::kBridge;
  int64_t created_nanos = 0;  // unix time
  bool predefined = false;    // bridge, host, none: without a record
  bool internal = false;      // nothing passes between it and the world
  bool attachable = false;    // echoed only
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options;

  // Of those that have a bridge. A subnet that nobody asked for is chosen when the network is made.
  bool HasBridge() const { return driver <= NetworkDriver::kOverlay; }
  std::string bridge;  // the device's name
  net::Subnet subnet;
  net::Ipv4 gateway;
  std::optional<net::Subnet> range;
  bool masquerade = true;
  uint32_t mtu = 0;                   // 0: the kernel's default
  net::Ipv4 publish_address{};        // where ports are published that name no address
  std::optional<net::Tunnel> tunnel;  // of driver overlay: to the same network of other devices
};

// Names and IDs of networks that always exist.
inline constexpr std::string_view kBridgeNetwork = "bridge";
inline constexpr std::string_view kHostNetwork = "host";
inline constexpr std::string_view kNoNetwork = "none";

// The body of POST /networks/create; without ID and time, subnet 0.0.0.0/0 when none was given.
// kInvalid and kUnsupported name the field.
Result<Network> ParseNetworkRequest(JsonValue body);

// The record: {"version":1,"id":...,"request":{...}} with the request as above.
std::string NetworkRecordJson(const Network& network);
Result<Network> ParseNetworkRecord(std::string_view text);

// Members of a Network object of the API that come from its definition, into an open object.
void WriteNetworkDefinition(JsonWriter& json, const Network& network);

}  // namespace wherry::engine
