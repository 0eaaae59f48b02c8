// The root file system of a container: attached, made the root of the mount namespace, later closed off. Runs in the
// container's init. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

struct Rootfs {
  UniqueFd root;      // the container's root, now "/"
  UniqueFd old_root;  // the host's root, still attached below the surface until LeaveHost
};

// Mounts the overlay on the bundle directory, or the specified root on itself, and pivots into it.
// REQUIRES: a private mount namespace. Everything on the host that is needed later must have been opened.
Result<Rootfs> EnterRootfs(const ContainerRequest& request);

// Creates the mount's final state: read-only, propagation. `proc_fd` as in sys::SetMountAttributes.
Result<> SealRootfs(const Rootfs& rootfs, const oci::RuntimeSpec& spec, int proc_fd);

// Detaches the host's mounts from the namespace.
Result<> LeaveHost(Rootfs& rootfs);

}  // namespace wherry::runtime
