// Starts the launcher process for one container and reads its answer without blocking. Loop thread
// only.
#pragma once

#include <functional>
#include <string>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/shim/launch_spec.h"
#include "core/sys/process.h"
#include "engine/container_config.h"

namespace wherry::engine {

// How a launch ended: a running container, or the exit code `docker run` gives (125, 126, 127) and
// why.
struct LaunchOutcome {
  int pid = 0;  // of the container's init; 0: failed
  int exit_code = 0;
  std::string message;
};

shim::SeccompMode SeccompModeOf(const HostOptions& options);

class Launcher {
 public:
  // Launchers, and the shims they become, run in `cgroup` (a path below the cgroup2 mount).
  Launcher(Loop* loop, std::string cgroup) : loop_(loop), cgroup_(std::move(cgroup)) {}

  // Blocks for the execve of the launcher only; `done` comes later on the loop. An error when not
  // even that worked.
  Result<> Launch(const shim::LaunchSpec& spec, std::move_only_function<void(LaunchOutcome)> done);

 private:
  Loop* loop_;
  std::string cgroup_;
  UniqueFd program_;  // made at the first launch
};

}  // namespace wherry::engine
