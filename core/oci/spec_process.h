// The member "process" of config.json. Internal to core/oci.
#pragma once

#include "core/oci/runtime_spec.h"
#include "core/oci/spec_reader.h"

namespace wherry::oci {

constexpr int64_t kMaxId = 4294967294;  // (uid_t)-1 means "no change" to the kernel

Result<> ReadProcess(const Field& field, Process& process);

}  // namespace wherry::oci
