// Where cgroup v2 is on this host and the primitive operations on one cgroup directory. Policy
// (limits, layout, names) is in core/runtime/cgroup.h. Blocking times are bounded by the arguments.
// Thread-safe. Kernel: Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

enum class CgroupMode : uint8_t {
  kUnified,  // /sys/fs/cgroup is cgroup2: everything works
  kHybrid,   // cgroup2 is at /sys/fs/cgroup/unified beside v1 controllers: tracks, freezes, kills,
             // filters devices
};

struct CgroupHost {
  CgroupMode mode = CgroupMode::kUnified;
  std::string mount;  // "/sys/fs/cgroup" or "/sys/fs/cgroup/unified"
};

// kUnsupported naming the remedy when there is no cgroup2 mount.
Result<CgroupHost> FindCgroupHost();

// The cgroup of a process in the cgroup2 hierarchy ("0::/a/b" of /proc/PID/cgroup), with leading
// slash.
Result<std::string> CgroupOf(int pid);

// Words of a space-separated file such as cgroup.controllers.
Result<std::vector<std::string>> ReadCgroupWords(int dir, const std::string& name);
// The value of `key` in a flat-keyed file such as memory.events; kNotFound without that line.
Result<uint64_t> ReadCgroupKey(int dir, const std::string& name, std::string_view key);
// A single number; "max" gives UINT64_MAX.
Result<uint64_t> ReadCgroupNumber(int dir, const std::string& name);

// Writes cgroup.freeze and waits on cgroup.events until the state is reached; on a failure to
// freeze thaws again.
enum class Freeze : uint8_t { kFreeze, kThaw };
Result<> SetFrozen(int dir, Freeze state, std::chrono::milliseconds timeout);

// SIGKILL for every process in the cgroup and below: cgroup.kill (5.14), else freeze, kill each,
// thaw until none is left or a second has passed. Does not wait for them to be gone in the first
// case.
Result<> KillCgroup(int dir);
// All pids in the cgroup and below, in no order.
Result<std::vector<int>> CgroupPids(int dir);
// Waits on cgroup.events for "populated 0"; kTimeout.
Result<> WaitUnpopulated(int dir, std::chrono::milliseconds timeout);

// rmdir of `path` and everything below, deepest first; EBUSY (a process on its way out) is retried
// up to `timeout`. Absent is success.
Result<> RemoveCgroup(const std::string& path, std::chrono::milliseconds timeout);

}  // namespace wherry::sys
