// How the kernel treats a container's process: scheduler, I/O priority, CPUs, memory policy,
// personality. Each changes the calling thread, and what it executes. Internal to core/runtime.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// Those that stay with the process for good and may need capabilities the program does not have.
struct SchedulingRequest {
  const oci::Process& process;
  std::optional<uint32_t> personality;
  const oci::MemoryPolicy* memory_policy = nullptr;  // null: the caller's
};
Result<> SetScheduling(const SchedulingRequest& request);

// kInvalid naming `member` when none of the CPUs can be used. Does nothing for an empty list.
Result<> SetAffinity(const std::vector<uint32_t>& cpus, std::string_view member);

}  // namespace wherry::runtime
