#include "core/oci/spec_scheduling.h"

#include <algorithm>
#include <span>

#include "core/base/text.h"

namespace wherry::oci {

namespace {

struct NumberRow {
  std::string_view name;
  uint32_t number;
};
constexpr NumberRow kPolicies[] = {
    {"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},       {"SCHED_BATCH", 3},
    {"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6},
};
constexpr uint32_t kDeadline = 6;
constexpr NumberRow kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
};
// IOPRIO_CLASS_*.
constexpr NumberRow kIoClasses[] = {
    {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
constexpr uint32_t kIoClassShift = 13;
// MPOL_*.
constexpr NumberRow kMemoryModes[] = {
    {"MPOL_DEFAULT", 0},
    {"MPOL_PREFERRED", 1},
    {"MPOL_BIND", 2},
    {"MPOL_INTERLEAVE", 3},
    {"MPOL_LOCAL", 4},
    {"MPOL_PREFERRED_MANY", 5},
    {"MPOL_WEIGHTED_INTERLEAVE", 6},
};
constexpr NumberRow kMemoryFlags[] = {{"MPOL_F_NUMA_BALANCING", 1 << 13},
                                      {"MPOL_F_RELATIVE_NODES", 1 << 14},
                                      {"MPOL_F_STATIC_NODES", 1 << 15}};
// PER_LINUX and PER_LINUX32.
constexpr NumberRow kPersonalities[] = {{"LINUX", 0}, {"LINUX32", 8}};

Result<uint32_t> ReadChoice(const Field& field, std::span<const NumberRow> rows) {
  std::string name = TRY(field.Text());
  auto row = std::ranges::find(rows, name, &NumberRow::name);
  if (row == rows.end())
    return field.Bad(Cat("must be a name such as ", rows[0].name, ", not \"", name, "\""));
  return row->number;
}

Result<uint32_t> ReadFlags(const Field& field, std::span<const NumberRow> rows) {
  std::vector<Field> elements = TRY(field.Elements());
  uint32_t flags = 0;
  for (const Field& element : elements)
    flags |= TRY(ReadChoice(element, rows));
  return flags;
}

// The kernel's own rules for a deadline, in crun's words.
Result<> CheckDeadline(const Field& field, const Scheduler& scheduler) {
  if (scheduler.policy != kDeadline)
    return {};
  auto refuse = [&field](std::string_view what) {
    return field.Bad(Cat("is refused by sched_setattr: `SCHED_DEADLINE` ", what));
  };
  for (std::string_view key : {"runtime", "deadline"}) {
    if (!field[key])
      return refuse(Cat("requires `", key, "`"));
  }
  constexpr uint64_t kLeast = 1024;
  uint64_t period = scheduler.period != 0 ? scheduler.period : scheduler.deadline;
  if (scheduler.runtime == 0)
    return refuse("runtime must be greater than 0");
  if (scheduler.runtime < kLeast)
    return refuse(Cat("runtime ", scheduler.runtime, " must be between 1024 and 2^63 - 1"));
  if (scheduler.runtime > scheduler.deadline) {
    return refuse(Cat("runtime ", scheduler.runtime, " must be <= deadline ", scheduler.deadline));
  }
  if (scheduler.deadline > period)
    return refuse(Cat("deadline ", scheduler.deadline, " must be <= period ", period));
  return {};
}

}  // namespace

Result<> ReadScheduler(const Field& field, std::optional<Scheduler>& out) {
  if (!field.AsksForSomething())
    return {};
  TRY(field.ExpectObject());
  Scheduler scheduler;
  scheduler.policy = TRY(ReadChoice(field["policy"], kPolicies));
  TRY(field["nice"].Store(scheduler.nice, -20, 19));
  TRY(field["priority"].Store(scheduler.priority, 0, 99));
  scheduler.flags = TRY(ReadFlags(field["flags"], kSchedulerFlags));
  TRY(field["runtime"].Store(scheduler.runtime, 0, INT64_MAX));
  TRY(field["deadline"].Store(scheduler.deadline, 0, INT64_MAX));
  TRY(field["period"].Store(scheduler.period, 0, INT64_MAX));
  TRY(CheckDeadline(field, scheduler));
  out = scheduler;
  return {};
}

Result<> ReadIoPriority(const Field& field, std::optional<uint32_t>& out) {
  if (!field.AsksForSomething())
    return {};
  TRY(field.ExpectObject());
  uint32_t priority = 0;
  TRY(field["priority"].Store(priority, 0, 7));
  out = TRY(ReadChoice(field["class"], kIoClasses)) << kIoClassShift | priority;
  return {};
}

Result<> ReadExecAffinity(const Field& field, ExecAffinity& out) {
  TRY(field.ExpectObject());
  out.initial = TRY(field["initial"].NumberList());
  out.final = TRY(field["final"].NumberList());
  return {};
}

Result<> ReadPersonality(const Field& field, std::optional<uint32_t>& out) {
  if (!field.AsksForSomething())
    return {};
  TRY(field.ExpectObject());
  // The specification knows of none so far.
  if (field["flags"].AsksForSomething())
    return field["flags"].Unsupported();
  out = TRY(ReadChoice(field["domain"], kPersonalities));
  return {};
}

Result<> ReadMemoryPolicy(const Field& field, std::optional<MemoryPolicy>& out) {
  if (!field)
    return {};
  TRY(field.ExpectObject());
  MemoryPolicy policy;
  policy.mode = TRY(ReadChoice(field["mode"], kMemoryModes));
  policy.mode |= TRY(ReadFlags(field["flags"], kMemoryFlags));
  policy.nodes = TRY(field["nodes"].NumberList());
  out = std::move(policy);
  return {};
}

}  // namespace wherry::oci
