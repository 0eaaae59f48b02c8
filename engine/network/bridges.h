// The kernel's side of networks with a bridge: devices, addresses, tunnels, and the packet filter
// of all of them. Blocking; one thread at a time per object.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "engine/network/endpoint.h"
#include "engine/network/network.h"
#include "net/link/firewall.h"
#include "net/link/link.h"

namespace wherry::engine {

class Bridges {
 public:
  // `instance` names the table of the packet filter. `marker` is a file that says, until the next
  // boot, that forwarding was off before.
  Bridges(std::string instance, std::string marker)
      : instance_(std::move(instance)), marker_(std::move(marker)) {}

  // What a new network must not overlap.
  Result<std::vector<net::Subnet>> UsedSubnets();
  // Whether this device has that address now.
  Result<bool> IsOwn(net::Ipv4 address);
  // The subnet and address of a device that exists; nothing when there is none.
  std::optional<net::LinkAddress> AddressOf(const std::string& bridge);

  // Makes the devices unless they are there, with the address, and lets packets through.
  // kUnsupported naming what the kernel lacks, kConflict for what another program's tunnel has.
  Result<> Ensure(const Network& network);
  // Absent is success.
  Result<> Remove(const Network& network);

  // Puts a device named endpoint.interface into `netns` and connects it with the bridge;
  // `way_out`: the default route leads there. Fills in endpoint.host_interface.
  Result<> Plug(const Network& network, int netns, bool way_out, Endpoint& endpoint);
  Result<> Unplug(const std::string& host_interface);
  // Until packets pass, at most a fraction of a second.
  void AwaitRunning(const std::string& host_interface);

  // Replaces all rules; whether forwarding is guarded is known here.
  Result<> Filter(net::FirewallRules rules);
  // Removes the rules, and turns forwarding off again when it was off before: while they are there,
  // nothing else of the host is forwarded then. Nothing to do where no container had a network.
  Result<> RemoveFilter();

 private:
  Result<net::Links*> Host();
  Result<net::Firewall*> Rules();
  Result<> Forward();
  Result<> EnsureTunnel(const Network& network, int bridge);

  std::string instance_;
  std::string marker_;
  std::optional<net::Links> links_;
  std::optional<net::Firewall> firewall_;
};

}  // namespace wherry::engine
