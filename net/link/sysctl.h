// The switches below /proc/sys/net that container networks need. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/sys/netns.h"

namespace wherry::net {

// One file below /proc/sys of the network namespace `netns` (descriptor or kOwnNetns), such as
// "net/ipv4/ip_forward". kNotFound when the kernel does not have it.
Result<> WriteSysctl(int netns, const std::string& name, std::string_view value);
// Its text without white space at the ends.
Result<std::string> ReadSysctl(int netns, const std::string& name);

// Turns net.ipv4.ip_forward on; true when it was off: then nobody but wherry asked for it, and the
// firewall should guard what wherry did not mean (FirewallRules::guard_forwarding).
Result<bool> EnableForwarding(int netns = sys::kOwnNetns);

// No IPv6 addresses on a device that carries what containers send.
Result<> DisableIpv6(const std::string& device, int netns = sys::kOwnNetns);

// For a bridge of containers: route_localnet, so that the host reaches published ports by 127.0.0.1
// (the firewall keeps everyone else out), and no IPv6 addresses, which it would not filter.
Result<> PrepareBridge(const std::string& bridge, int netns = sys::kOwnNetns);

}  // namespace wherry::net
