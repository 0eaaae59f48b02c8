// What the kernel tells about devices, addresses and routes. nullopt for a message of another type
// or family, or one that is cut short; an attribute of a wrong size counts as absent. Pure.
#pragma once

#include <optional>

#include "core/sys/netlink.h"
#include "net/link/link.h"

namespace wherry::net {

std::optional<LinkInfo> ParseLink(const sys::NetlinkMessage& message);
std::optional<LinkAddress> ParseAddress(const sys::NetlinkMessage& message);
std::optional<LinkRoute> ParseRoute(const sys::NetlinkMessage& message);

}  // namespace wherry::net
