// What config.json says of how a process is scheduled, and of what else the kernel does for it.
// Leaves `out` alone when the member is absent. Internal to core/oci.
#pragma once

#include "core/oci/runtime_spec.h"
#include "core/oci/spec_reader.h"

namespace wherry::oci {

Result<> ReadScheduler(const Field& field, std::optional<Scheduler>& out);
Result<> ReadIoPriority(const Field& field, std::optional<uint32_t>& out);
Result<> ReadExecAffinity(const Field& field, ExecAffinity& out);
Result<> ReadPersonality(const Field& field, std::optional<uint32_t>& out);
Result<> ReadMemoryPolicy(const Field& field, std::optional<MemoryPolicy>& out);

}  // namespace wherry::oci
