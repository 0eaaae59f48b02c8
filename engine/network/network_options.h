// Options of networks (--opt): those of Docker's drivers that change something here, and what a
// network of driver overlay is told of the other devices. Hostile text; pure, thread-safe.
#pragma once

#include "core/base/result.h"
#include "engine/network/network.h"

namespace wherry::engine {

// From network.options to the members they are about. Options that nobody knows are kept, as Docker
// does, except by a network that has a tunnel: one of them may be a misspelt peer. kInvalid and
// kUnsupported name the option.
Result<> ReadOptions(Network& network);

// What a network with a tunnel needs besides, once its addresses are read: a part of the subnet
// that is this device's own, with the gateway in it, and the number that the devices have in
// common.
Result<> CompleteTunnel(Network& network);

}  // namespace wherry::engine
