// Network devices, addresses and routes of one network namespace by rtnetlink: what a container's
// network is put together from. Devices are named by index in all calls but those that find or make
// them; kNotFound when there is none of that index. One thread at a time per object.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sys/netlink.h"
#include "net/link/address.h"
#include "net/link/tunnel.h"

namespace wherry::net {

struct LinkInfo {
  int index = 0;
  std::string name;
  std::string kind;  // "bridge", "veth", "vxlan", ...; empty for hardware and lo
  Mac mac{};
  uint32_t mtu = 0;  // bytes
  int master = 0;    // index of the bridge it is a port of; 0: none
  bool up = false;   // switched on by the administrator
  // Packets pass. The kernel finds out some milliseconds after both ends of a veth pair are up;
  // what is sent before is lost.
  bool running = false;
};

struct LinkAddress {
  int link = 0;
  Ipv4 address;
  uint8_t prefix = 0;
};

struct LinkRoute {
  Subnet destination;  // prefix 0: a default route
  Ipv4 gateway;        // 0.0.0.0: directly
  int link = 0;        // 0: several, or none
  uint32_t table = 0;  // 254: main, 255: the host's own addresses
};

struct BridgeOptions {
  std::string name;        // at most 15 bytes
  std::optional<Mac> mac;  // default: random; never that of a port, which would change
  uint32_t mtu = 0;        // 0: the kernel's default, 1500
};

// A pair of devices: one end here, the other inside a container.
struct VethOptions {
  std::string name;
  int bridge = 0;  // index of the bridge `name` becomes a port of; 0: none
  std::string peer_name = "eth0";
  int peer_netns = -1;  // descriptor, borrowed; the peer is made there and never is here
  std::optional<Mac> peer_mac;
  uint32_t mtu = 0;  // of both
};

// One end of a tunnel, to be a port of a bridge.
struct VxlanOptions {
  std::string name;
  int bridge = 0;    // index of the bridge it becomes a port of; 0: none
  uint32_t mtu = 0;  // 0: the kernel's default
  const Tunnel& tunnel;
};

class Links {
 public:
  // Of the namespace `netns` (descriptor, borrowed, needed during the call only).
  static Result<Links> Open(int netns = sys::kOwnNetns);

  // All give the index of the new device; kExists when the name is taken, kInvalid for a name the
  // kernel would not take as it is, kUnsupported naming the option the kernel lacks. A bridge has
  // no spanning tree and is down; of a veth pair the end here is up, the peer down; a VXLAN device
  // is down and knows its peers. kExists also when the number of the tunnel is taken; its port is
  // taken when it is set up (EADDRINUSE when a program has it).
  Result<int> AddBridge(const BridgeOptions& options);
  Result<int> AddVeth(const VethOptions& options);
  Result<int> AddVxlan(const VxlanOptions& options);
  // With a veth its peer goes, with a bridge its addresses and routes. Absent is success.
  Result<> Delete(int link);

  Result<> SetUp(int link);
  Result<> SetMaster(int link, int bridge);  // bridge 0: leaves its bridge
  Result<> SetMac(int link, const Mac& mac);
  Result<> SetMtu(int link, uint32_t mtu);
  // Lets frames go back out of the port they came in by. A container needs it to reach itself by a
  // port published on the host, but only while net.bridge.bridge-nf-call-iptables is 1.
  Result<> SetHairpin(int link);

  // kExists when the device has it already.
  Result<> AddAddress(int link, Ipv4 address, uint8_t prefix);
  // The device has to be up and to have an address in the gateway's subnet.
  Result<> AddDefaultRoute(int link, Ipv4 gateway);

  // kNotFound.
  Result<LinkInfo> Find(const std::string& name);
  Result<std::vector<LinkInfo>> List();
  Result<std::vector<LinkAddress>> Addresses();
  Result<std::vector<LinkRoute>> Routes();  // of all tables
  // All that a new network must not overlap: subnets of addresses, and destinations of routes but
  // default routes.
  Result<std::vector<Subnet>> UsedSubnets();

 private:
  explicit Links(sys::NetlinkSocket socket) : socket_(std::move(socket)) {}
  struct Kind;
  Result<int> Create(sys::NetlinkWriter& request, const std::string& name, const Kind& kind);
  Result<> Set(sys::NetlinkWriter& request, std::string_view what, int link);
  Result<> AddPeer(int link, Ipv4 peer);

  sys::NetlinkSocket socket_;
};

// 1 to 15 bytes of letters, digits, '.', '_', '-', and not only dots: what the kernel takes as a
// name and a path below /proc/sys can hold.
bool IsLinkName(std::string_view name);

}  // namespace wherry::net
