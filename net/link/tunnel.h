// What joins the bridges of several devices into one network: Ethernet frames in UDP (VXLAN, RFC
// 7348), a copy of each broadcast for each of the other devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "net/link/address.h"

namespace wherry::net {

inline constexpr uint32_t kMaxVni = 0xffffff;
inline constexpr uint16_t kVxlanPort = 4789;   // IANA's
inline constexpr uint32_t kVxlanHeaders = 50;  // bytes: outer IPv4, UDP, VXLAN, inner Ethernet
inline constexpr size_t kMaxPeers = 64;        // each broadcast is sent to all of them

struct Tunnel {
  uint32_t vni = 0;            // number of the network, the same on all its devices; not 0
  uint16_t port = kVxlanPort;  // UDP, of all devices
  Ipv4 local;                  // this device's address; 0.0.0.0: as the route to each peer says
  std::vector<Ipv4> peers;     // addresses of the other devices

  // UDP, where devices ask each other for the names of containers.
  uint16_t NamesPort() const { return static_cast<uint16_t>(port + 1); }
};

}  // namespace wherry::net
