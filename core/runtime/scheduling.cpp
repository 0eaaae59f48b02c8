#include "core/runtime/scheduling.h"

#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

// struct sched_attr of <linux/sched/types.h>, which C libraries define differently.
struct SchedulerAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};
static_assert(sizeof(SchedulerAttributes) == 48);

Result<> SetScheduler(const oci::Scheduler& scheduler) {
  SchedulerAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.policy = scheduler.policy;
  attributes.flags = scheduler.flags;
  attributes.nice = scheduler.nice;
  attributes.priority = scheduler.priority;
  attributes.runtime = scheduler.runtime;
  attributes.deadline = scheduler.deadline;
  attributes.period = scheduler.period;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0)
    return FailSys("sched_setattr", "process.scheduler");
  return {};
}

// A set of numbers as the kernel takes it: an array of long.
std::vector<unsigned long> Bits(const std::vector<uint32_t>& numbers) {
  constexpr size_t kBits = sizeof(long) * CHAR_BIT;
  std::vector<unsigned long> bits;
  for (uint32_t number : numbers) {
    if (bits.size() <= number / kBits)
      bits.resize(number / kBits + 1);
    bits[number / kBits] |= 1UL << number % kBits;
  }
  return bits;
}

Result<> SetMemoryPolicy(const oci::MemoryPolicy& policy) {
  std::vector<unsigned long> nodes = Bits(policy.nodes);
  // The kernel takes one bit less than it is told.
  size_t bits = nodes.size() * sizeof(long) * CHAR_BIT + 1;
  if (syscall(SYS_set_mempolicy, policy.mode, nodes.empty() ? nullptr : nodes.data(),
              nodes.empty() ? 0 : bits) < 0) {
    return FailSys("set_mempolicy", "linux.memoryPolicy");
  }
  return {};
}

}  // namespace

Result<> SetScheduling(const SchedulingRequest& request) {
  constexpr int kThisProcess = 1;  // IOPRIO_WHO_PROCESS
  if (request.process.scheduler)
    TRY(SetScheduler(*request.process.scheduler));
  if (request.process.io_priority &&
      syscall(SYS_ioprio_set, kThisProcess, 0, *request.process.io_priority) < 0) {
    return FailSys("ioprio_set", "process.ioPriority");
  }
  if (request.memory_policy != nullptr)
    TRY(SetMemoryPolicy(*request.memory_policy));
  if (request.personality && personality(*request.personality) < 0)
    return FailSys("personality", "linux.personality");
  return {};
}

Result<> SetAffinity(const std::vector<uint32_t>& cpus, std::string_view member) {
  if (cpus.empty())
    return {};
  std::vector<unsigned long> bits = Bits(cpus);
  if (syscall(SYS_sched_setaffinity, 0, bits.size() * sizeof(long), bits.data()) < 0)
    return FailSys("sched_setaffinity", member);
  return {};
}

}  // namespace wherry::runtime
