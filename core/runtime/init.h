// The life of a container's init between clone3 and execve. Internal to core/runtime.
#pragma once

#include <string>

#include "core/runtime/capabilities.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

struct InitPlan {
  const ContainerRequest& request;
  CapabilitySets capabilities;
  int sync = -1;               // init's end
  bool await_runtime = false;  // kProceed comes when init is in its cgroup and has its ids
  std::string cgroup_root;     // host directory of the cgroup2 hierarchy
  // Of a second clone, which is init: 0 when the caller itself is. The caller only opens what is
  // the host's then, and joins.
  uint64_t inner_flags = 0;
  // The caller was made in a new user namespace by somebody who is nothing outside: what its root
  // may not open cannot be opened.
  bool unprivileged = false;
};

// Builds the container around the calling process and becomes its program. Reports to `sync`; exits
// on any failure.
[[noreturn]] void RunInit(const InitPlan& plan);

}  // namespace wherry::runtime
