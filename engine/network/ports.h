// Published ports: each is bound on the host for as long as its container runs, so that nobody else
// takes it; packets go to the container by the firewall and never reach the socket. Blocking,
// thread-safe.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/network/endpoint.h"

namespace wherry::engine {

struct HeldPort {
  BoundPort port;
  UniqueFd hold;
};

// `host_address`: where the port goes when the request names none. kConflict when the port is in
// use, naming the process that listens there when it can be found.
Result<HeldPort> HoldPort(const PortRequest& request, net::Ipv4 host_address);

}  // namespace wherry::engine
