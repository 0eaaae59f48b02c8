// Device nodes and links below /dev (config-linux.md "Default Devices", "Devices", "Default symbolic links"), and the
// terminal. Every node is made relative to a directory descriptor resolved inside the container's root. Runs in the
// container's init as root with umask 0. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// Makes the default devices, those of the specification, and the links. Where mknod is not permitted the host's node is
// bind-mounted: `old_root` is the host's root, still attached.
Result<> CreateDevices(int root, int old_root, const oci::RuntimeSpec& spec);

// The container's own /dev/null, checked to be that device.
Result<UniqueFd> OpenContainerNull(int root);
bool IsNullDevice(int fd);

struct Console {
  UniqueFd master;
  UniqueFd slave;
};
// A new terminal from the devpts whose root is `devpts` (no path is resolved, CVE-2025-52565), bound to /dev/console.
Result<Console> CreateConsole(int root, int devpts, const oci::ConsoleSize& size);

}  // namespace wherry::runtime
