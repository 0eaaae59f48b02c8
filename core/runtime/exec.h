// A further process in a running container (runc exec): it joins the namespaces and the cgroup of
// the container and gets a profile of its own. For single-threaded processes, as Prepare
// (core/runtime/container.h), whose result it shares: waits right before its execve.
#pragma once

#include <string>
#include <vector>

#include "core/oci/runtime_spec.h"
#include "core/runtime/container.h"
#include "core/sys/process.h"

namespace wherry::runtime {

struct ExecRequest {
  std::string container;  // its ID
  const oci::Process& process;
  // Those that the container has of its own; paths do not matter.
  const std::vector<oci::Namespace>& namespaces;
  const sys::PidFd& init;  // of the running container
  StandardStreams streams;
  // The container's cgroup below the cgroup2 mount; empty: the caller's own.
  std::string cgroup;
  // False: init's instead where processes may not be in that one.
  bool exact_cgroup = false;
  SeccompProgram seccomp;
  int preserved_fds = 0;  // as ContainerRequest's
  bool new_keyring = true;
  std::optional<uint32_t> personality = {};          // of the container
  const oci::MemoryPolicy* memory_policy = nullptr;  // as well; null: none
};

// The caller's later children are in the container's pid namespace from here on. kConflict when the
// container has ended.
StartResult<Prepared> PrepareExec(const ExecRequest& request);

}  // namespace wherry::runtime
