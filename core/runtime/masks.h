// Masked and read-only paths, and sysctls (config-linux.md "Masked Paths", "Readonly Paths", "Sysctl"). Runs in the
// container's init. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// Covers files with a read-only view of the host's null device `host_null` (opened and checked before the container's root
// was entered, CVE-2025-31133) and directories with one shared empty, read-only directory. Only paths that do not exist are
// passed over. REQUIRES: the host's root is still attached.
Result<> MaskPaths(int root, int host_null, const oci::RuntimeSpec& spec, int proc_fd);

// Makes paths that exist read-only, with what is mounted below them.
Result<> MakePathsReadonly(int root, const oci::RuntimeSpec& spec, int proc_fd);

// kInvalid for a name that is malformed, or not confined to a namespace the container has of its own.
Result<> CheckSysctls(const oci::RuntimeSpec& spec);
// Writes them through `procfs`, a procfs that nothing is mounted on. REQUIRES: CheckSysctls has accepted them.
Result<> WriteSysctls(const oci::RuntimeSpec& spec, int procfs);

}  // namespace wherry::runtime
