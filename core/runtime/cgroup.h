// The cgroup of a container: creation with the controllers its limits need, limits, counters,
// freezing, killing, removal. cgroup v2 only (runtime-spec config-linux.md "Control groups", values
// converted from v1 terms as runc does). Blocking; thread-safe. On a hybrid host everything works
// but limits whose controller is bound to v1: asking for one gives a single error that names the
// controller and the remedy.
//
// Layout below the cgroup2 mount: <parent>/c/<id> for containers, <parent>/shims for shims, both
// leaves. A process that sits in <parent> itself would forbid controllers in its children:
// LeaveInnerCgroup moves the daemon into <parent>/daemon.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/cgroup.h"

namespace wherry::oci {
struct LinuxResources;
}

namespace wherry::runtime {

struct CgroupWrite;  // core/runtime/cgroup_limits.h

// Counters of a container; absent where the controller or the kernel does not have them.
struct CgroupStats {
  std::optional<uint64_t> memory_current;        // bytes
  std::optional<uint64_t> memory_peak;           // bytes, since 5.19
  std::optional<uint64_t> memory_max;            // bytes, UINT64_MAX: no limit
  std::optional<uint64_t> memory_inactive_file;  // bytes; docker stats subtracts it
  std::optional<uint64_t> swap_current;          // bytes
  std::optional<uint64_t> oom_kills;
  std::optional<uint64_t> cpu_usage_us;
  std::optional<uint64_t> cpu_user_us;
  std::optional<uint64_t> cpu_system_us;
  std::optional<uint64_t> cpu_periods;
  std::optional<uint64_t> cpu_throttled_periods;
  std::optional<uint64_t> cpu_throttled_us;
  std::optional<uint64_t> pids_current;
  std::optional<uint64_t> pids_max;       // UINT64_MAX: no limit
  std::optional<uint64_t> io_read_bytes;  // over all devices
  std::optional<uint64_t> io_write_bytes;
  std::optional<uint64_t> io_reads;
  std::optional<uint64_t> io_writes;
};

class Cgroup {
 public:
  // Creates `path` ("/wherry/c/<id>", below the mount) and its missing ancestors, and enables in
  // every ancestor the controllers this kernel offers among cpu, cpuset, io, memory, pids, hugetlb,
  // rdma, one at a time. kExists when it exists and has processes; an empty left-over is used
  // again. Undone when a later step fails.
  static Result<Cgroup> Create(const sys::CgroupHost& host, std::string path);
  // An existing one.
  static Result<Cgroup> Open(const sys::CgroupHost& host, std::string path);

  // The directory, for CLONE_INTO_CGROUP, the shim and device programs. Borrowed.
  int fd() const { return dir_.get(); }
  const std::string& path() const { return path_; }  // below the mount, with leading slash

  // Sets everything `resources` names but devices. Values are range-checked before anything is
  // written. kUnsupported with one sentence naming controller, cause and remedy when a controller
  // is missing.
  Result<> SetLimits(const oci::LinuxResources& resources);
  // The same for a container that runs: all of it or, put back before it fails, nothing. Gives what
  // PutBack needs should a later step of the caller's fail.
  Result<std::vector<CgroupWrite>> ChangeLimits(const oci::LinuxResources& resources);
  // Undoes ChangeLimits; `error` is why, and gains what could not be put back.
  Error PutBack(const std::vector<CgroupWrite>& former, Error error);
  // What SetLimits writes.
  Result<std::vector<CgroupWrite>> Writes(const oci::LinuxResources& resources) const;
  // Compiles and attaches the device rules with the runtime's default ones; nothing when all is
  // allowed.
  Result<> SetDevices(const oci::LinuxResources& resources);

  // Gives the cgroup to a user who may make cgroups below it and move processes among them, and
  // change no limit of it (cgroup-v2.rst "Delegation").
  Result<> Delegate(uint32_t uid, uint32_t gid);
  // Moves a process (0: the caller) into this cgroup.
  Result<> AddProcess(int pid);
  Result<> Freeze();  // five seconds at most
  Result<> Thaw();
  Result<> Kill();
  // Kills what is left and waits until it has gone, two seconds at most.
  Result<> Clear();
  // Kills what is left and removes the directory tree.
  Result<> Remove();
  CgroupStats Stats() const;

 private:
  Cgroup(sys::CgroupHost host, std::string path, UniqueFd dir)
      : host_(std::move(host)), path_(std::move(path)), dir_(std::move(dir)) {}

  sys::CgroupHost host_;
  std::string path_;
  UniqueFd dir_;
};

// Creates the leaf `path` (for shims or the daemon) without controllers of its own and gives its
// directory.
Result<UniqueFd> MakeLeafCgroup(const sys::CgroupHost& host, const std::string& path);

// Called once by the daemon before the first container: when processes sit in `parent` or one of
// its ancestors other than the root in a way that forbids controllers below, those of the caller's
// own cgroup move to `<that cgroup>/daemon`.
Result<> LeaveInnerCgroup(const sys::CgroupHost& host, const std::string& parent);

// Exact conversions, for tests and inspect.
uint64_t CpuWeightFromShares(
    uint64_t shares);  // 0 stays 0 (unset); 2 -> 1, 1024 -> 100, 262144 -> 10000
uint64_t IoWeightFromBlkio(uint64_t blkio_weight);  // 10..1000 -> 1..10000

}  // namespace wherry::runtime
