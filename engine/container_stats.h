// What a container uses at one moment: figures of its cgroup, of its network interfaces, and of the
// machine they are compared with. Blocking on procfs and cgroupfs alone: workers. No state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/runtime/cgroup.h"

namespace wherry::engine {

// proc_pid_net(5), dev.
struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

struct StatsSample {
  int64_t unix_nanos = 0;
  bool running = false;  // else all that follows is 0
  runtime::CgroupStats cgroup;
  uint64_t system_cpu_nanos = 0;  // of all processors since the boot, idle time included
  uint64_t online_cpus = 0;
  uint64_t memory_limit = 0;  // the machine's where the container has none
  std::vector<InterfaceCounters> interfaces;
};

// `pid`: of the container's init, 0 when its interfaces are the host's and not to be told.
Result<StatsSample> SampleStats(const std::string& cgroup, int pid);

// The text of /proc/net/dev without the loopback interface.
std::vector<InterfaceCounters> ParseInterfaces(std::string_view text);

}  // namespace wherry::engine
