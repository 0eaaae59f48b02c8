// A container's cgroup, whether the runtime made it or systemd did, whose scope it is then.
#pragma once

#include <string>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/state.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/systemd.h"

namespace wherry::oci_runtime {

// Tells systemd of limits that the cgroup has.
Result<> TellLimits(runtime::Systemd& systemd, const std::string& unit,
                    const runtime::Cgroup& cgroup, const oci::LinuxResources& resources);

// Kills what is left of a container and removes its cgroup, and its scope if it has one. A systemd
// that cannot be asked is a warning: it sees that the cgroup is empty when it is there again.
Result<> RemoveCgroup(const Globals& globals, const State& state);

}  // namespace wherry::oci_runtime
