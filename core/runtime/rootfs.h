// The root file system of a container: attached, made the root of the mount namespace, later
// sealed. Runs in the container's init. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

// Mounts the overlay on the bundle directory, or the specified root on itself, pivots into it and
// detaches the host's mounts. Gives the root, now "/". Everything on the host that is needed later
// must have been opened. REQUIRES: a private mount namespace.
Result<UniqueFd> EnterRootfs(const ContainerRequest& request);

// The final state of the mount: read-only, propagation. `proc_fd` as in sys::SetMountAttributes.
Result<> SealRootfs(int root, const oci::RuntimeSpec& spec, int proc_fd);

}  // namespace wherry::runtime
