// The packet filter of container networks: one nf_tables table that is always written as a whole
// from a declared state, in one transaction of the kernel. No program is run for it, and other
// tables are left alone (what they drop stays dropped). One thread at a time per object.
#pragma once

#include <netinet/in.h>

#include <optional>
#include <string>
#include <vector>

#include "core/sys/netlink.h"
#include "net/link/address.h"
#include "net/link/tunnel.h"

namespace wherry::net {

// A bridge and the subnet of its containers. Containers of one bridge reach each other; from
// elsewhere they are reached by published ports only, also from other bridges.
struct FirewallNetwork {
  std::string bridge;
  Subnet subnet;
  bool internal = false;   // no packet passes between this bridge and anything but the host
  bool masquerade = true;  // what leaves for elsewhere carries the host's address
};

// A port of the host that leads to a container. Connections to it are redirected wherever they come
// from: outside, the host itself (by 127.0.0.1 too: see PrepareBridge), containers of any bridge
// that is not internal. The firewall holds no socket: whoever publishes binds one, so that the port
// is not used twice.
struct PublishedPort {
  uint8_t protocol = IPPROTO_TCP;  // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
  Ipv4 host_address;               // 0.0.0.0: any address of the host
  uint16_t host_port = 0;
  Ipv4 container;
  uint16_t container_port = 0;
};

struct FirewallRules {
  std::vector<FirewallNetwork> networks;
  std::vector<PublishedPort> ports;
  // Frames of these and questions for the names of their networks come in from their peers only,
  // and containers can send neither: they would have this device's address, a peer's to the others.
  std::vector<Tunnel> tunnels = {};
  // Forwards nothing that these rules do not allow, also between the host's other networks: for a
  // host that forwarded nothing before wherry turned it on.
  bool guard_forwarding = false;
};

class Firewall {
 public:
  // The table is "wherry-<instance>" of the family ip; `instance` is 1 to 20 letters, digits, '-'
  // and '_', else kInvalid. kUnsupported when the kernel has no netfilter netlink.
  static Result<Firewall> Open(std::string_view instance, int netns = sys::kOwnNetns);
  // By a socket of the caller.
  Firewall(sys::NetlinkSocket socket, std::string_view instance);

  // Replaces the table by what `rules` say, all at once: packets see the old or the new state, and
  // a crash leaves one of them. Connections that exist stay redirected as they were. kInvalid for
  // rules that make no sense, kUnsupported naming what the kernel lacks and the remedy.
  Result<> Apply(const FirewallRules& rules);
  // Deletes the table; absent is success.
  Result<> Remove();

 private:
  enum class Chains : bool { kKeep, kReplace };
  Result<> Write(const FirewallRules& rules, Chains chains);
  Result<> Commit(sys::NetlinkWriter& batch, std::string_view what);

  sys::NetlinkSocket socket_;
  std::string table_;
  // The table is there, with chains for this; nothing: it is not known.
  std::optional<bool> guards_;
};

}  // namespace wherry::net
