// The root file system of a container: attached, made the root of the mount namespace, later
// sealed. Runs in the container's init. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

// Mounts the overlay on the bundle directory, or the specified root on itself, and gives its root.
// With a user namespace it is detached, for the mount namespace that this one owns; layers of an
// overlay are mapped to it then, so that their files have the owners they have on disk.
// REQUIRES: a private mount namespace.
Result<UniqueFd> MountRootfs(const ContainerRequest& request);

// Where one that is detached can be seen by the host's paths, for hooks: on the path it was
// specified by, which the container's root has to be able to reach.
Result<> ShowRootfs(int root, const oci::RuntimeSpec& spec, const std::string& bundle);

// Makes it "/" and detaches the host's mounts. Everything on the host that is needed later must
// have been opened.
Result<> EnterRootfs(int root, const ContainerRequest& request);

// The final state of the mount: read-only, propagation. `proc_fd` as in sys::SetMountAttributes.
Result<> SealRootfs(int root, const oci::RuntimeSpec& spec, int proc_fd);

}  // namespace wherry::runtime
