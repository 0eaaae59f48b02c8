// The life of a container's init between clone3 and execve. Internal to core/runtime.
#pragma once

#include <string>

#include "core/runtime/capabilities.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

struct InitPlan {
  const ContainerRequest& request;
  CapabilitySets capabilities;
  int sync = -1;              // init's end
  bool await_cgroup = false;  // kProceed comes when the runtime has moved init into its cgroup
  std::string cgroup_root;    // host directory of the cgroup2 hierarchy
};

// Builds the container around the calling process and becomes its program. Reports to `sync`; exits
// on any failure.
[[noreturn]] void RunInit(const InitPlan& plan);

}  // namespace wherry::runtime
