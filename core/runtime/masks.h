// Masked and read-only paths, and sysctls (config-linux.md "Masked Paths", "Readonly Paths",
// "Sysctl"). Runs in the container's init. Internal to core/runtime.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// A detached, read-only mount of the host's null device, checked to be that: taken before the
// container's root is entered, because what is called /dev/null in there is the image's choice
// (CVE-2025-31133).
Result<UniqueFd> CloneHostNull();
// Covers files with `null_mount` and copies of it, and directories with one shared empty, read-only
// directory. Only paths that do not exist are passed over.
Result<> MaskPaths(int root, UniqueFd null_mount, const oci::RuntimeSpec& spec, int proc_fd);

// Makes paths that exist read-only, with what is mounted below them.
Result<> MakePathsReadonly(int root, const oci::RuntimeSpec& spec, int proc_fd);

// kInvalid for a name that is malformed, or not confined to a namespace the container has of its
// own.
Result<> CheckSysctls(const oci::RuntimeSpec& spec);
// Those of namespaces that the container makes, or joins.
enum class SysctlsOf : uint8_t { kNewNamespaces, kJoinedNamespaces };
bool HasSysctls(const oci::RuntimeSpec& spec, SysctlsOf which);
// Writes them through `procfs`, a procfs that nothing is mounted on. REQUIRES: CheckSysctls has
// accepted them, the caller is in the namespaces.
Result<> WriteSysctls(const oci::RuntimeSpec& spec, SysctlsOf which, int procfs);

}  // namespace wherry::runtime
