// Work inside another network namespace. Any thread: the caller never leaves its own namespace,
// a short-lived thread of its own enters the other one.
#pragma once

#include <functional>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

// In place of a descriptor of a namespace: the caller's own.
constexpr int kOwnNetns = -1;

// Calls `work` on a thread inside the network namespace `netns` (descriptor of /proc/PID/ns/net,
// borrowed; kOwnNetns calls it directly) and waits for it. Files below /proc/sys/net and new
// sockets are those of that namespace; /proc/net is not.
Result<> InNetns(int netns, std::move_only_function<Result<>()> work);

// A new network namespace, which lives as long as its descriptor or what is inside.
Result<UniqueFd> NewNetns();

// socket(2) inside `netns`, with SOCK_CLOEXEC. A socket keeps the namespace it was made in.
Result<UniqueFd> SocketIn(int netns, int domain, int type, int protocol);

}  // namespace wherry::sys
