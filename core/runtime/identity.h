// Who the container's program runs as (config.md "POSIX process user"): names resolved against the
// container's own files, HOME, groups, capabilities. Runs in the container's init. Internal to
// core/runtime.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/capabilities.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  bool keeps_groups = false;  // instead: those of the caller
  std::string home = "/";
};

// Reads /etc/passwd and /etc/group below `root` when they are needed: regular files up to 1 MiB,
// never anything else (a fifo would hang, a device could act). An unreadable file is an error only
// if a name has to be found in it.
Result<Identity> ResolveIdentity(int root, const oci::Process& process);

// What root of a user namespace is outside of it.
struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};
// Of the user namespace that `pid` is in; absent when it has no root.
Result<std::optional<Owner>> NamespaceRoot(pid_t pid);
// So that a program in a user namespace can open /dev/stdout again: pipes belong to its root.
Result<> GivePipes(const StandardStreams& streams, const Owner& root);

// Whether the environment says nothing of HOME, or last that it is empty.
bool NeedsHome(const std::vector<std::string>& env);

// The sets of the configuration; none at all when it has none. kInvalid naming an unknown
// capability.
Result<CapabilitySets> ParseCapabilitySets(const oci::Process& process);

// prlimit of `pid` (0: the caller) for each; kDenied naming the limit when the hard limit would
// have to be raised without CAP_SYS_RESOURCE.
Result<> SetRlimits(pid_t pid, const std::vector<oci::Rlimit>& limits);

// Supplementary groups, gid, uid in this order; capabilities stay permitted but, for a user other
// than root, not effective.
Result<> SwitchUser(const Identity& identity, CapabilitySet bounding);

}  // namespace wherry::runtime
