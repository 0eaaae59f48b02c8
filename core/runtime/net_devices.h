// linux.netDevices (config-linux.md "Network Devices"): devices of the host that become the
// container's. For single-threaded callers. Internal to core/runtime.
#pragma once

#include <sys/types.h>

#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// Moves each from the caller's network namespace to that of process `pid`, under its new name, with
// the permanent addresses of global scope it has, and switches it on. With the namespace the kernel
// gives physical ones back to the host and removes others. kNotFound when there is no such device,
// kExists when the namespace has one of that name.
Result<> MoveNetDevices(const std::vector<oci::NetDevice>& devices, pid_t pid);

}  // namespace wherry::runtime
