// What this kernel can do, found by asking it. Nothing is left behind but modules the kernel has
// loaded on the way. For single-threaded callers with the capabilities of root.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/result.h"

namespace wherry::sys {

// Does `work` in a child process inside new namespaces (CLONE_NEW*), which end with it. An error is
// the child's or clone's own; kInternal when the child was killed.
Result<> TryInChild(uint64_t namespaces, Result<> (*work)());

// The system calls the runtime has another way for, that this kernel does not have or that are
// filtered: "openat2 pidfd_open", or "".
std::string MissingSystemCalls();

// Whether the file system of the open directory can be mounted with mapped owners (Linux 5.12, and
// the file system's support).
Result<> ProbeIdmap(int dir);

// Whether processes can be made inside a new cgroup and killed with it. `mount`: of cgroup2.
Result<> ProbeCgroup(const std::string& mount);

}  // namespace wherry::sys
