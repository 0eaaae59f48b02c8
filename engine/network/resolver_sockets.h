// The sockets of the embedded resolver inside a container's network namespace. Blocking.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "net/link/address.h"

namespace wherry::engine {

// Where containers find their resolver, as in Docker.
inline constexpr net::Ipv4 kResolverAddress{0x7f00000b};  // 127.0.0.11

// Sockets at ports of their own, not 53, which a container may want for itself (at 0.0.0.0, too);
// a rule in the namespace leads 127.0.0.11:53 there.
Result<> OpenResolverSockets(int netns, UniqueFd& udp, UniqueFd& tcp);

}  // namespace wherry::engine
