// One container as the daemon holds it in memory. Changed on the loop thread only, by class
// Containers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/sys/process.h"
#include "engine/container_config.h"
#include "engine/container_state.h"
#include "engine/container_status.h"
#include "engine/health.h"

namespace wherry::engine {

class AttachSession;
class ImagePin;
class ShimConnection;

// The answer to a wait: the exit code, or why there is none.
struct WaitResult {
  int exit_code = 0;
  std::string error;
};

enum class WaitCondition : uint8_t { kNotRunning, kNextExit, kRemoved };

struct Waiter {
  uint64_t id = 0;
  WaitCondition condition = WaitCondition::kNotRunning;
  std::move_only_function<void(const WaitResult&)> callback;
};

struct Container {
  std::string id;             // 64 hexadecimal digits
  std::string name;           // without slash
  int64_t created_nanos = 0;  // unix time
  Digest image_id;
  Digest manifest;
  std::shared_ptr<const ContainerConfig> config;
  std::shared_ptr<ImagePin> pin;  // shared: also held by a start in progress

  ContainerState state = ContainerState::kCreated;
  RunStatus status;

  std::string directory;      // containers/<id> on flash
  std::string run_directory;  // c/<id> below /run

  // The connection to the shim that reports the end; null without a process. Stays for a moment
  // after the end until the shim itself is gone.
  std::shared_ptr<ShimConnection> watch;
  sys::PidFd init;                 // signals go here
  bool stop_requested = false;     // stop or kill was asked for during this run
  bool restart_requested = false;  // this end is the middle of a restart
  int64_t restart_count = 0;       // starts by the restart policy since somebody started it
  RunStatus last_end;              // of the run that the newest of these starts followed
  std::chrono::nanoseconds restart_delay{0};
  Loop::TimerId restart_timer = 0;
  bool rests = false;     // see RemembersRest; in the record
  bool starting = false;  // between the begin of a start and its success or failure

  std::vector<Waiter> waiters;
  std::vector<std::shared_ptr<AttachSession>> pending_attaches;  // wait for the next start

  Health health;           // kept by class HealthMonitor
  int64_t health_run = 0;  // RunStatus::started_nanos of the run it belongs to

  std::vector<std::string> exec_ids;  // kept by class Execs

  // How many operations that must not be mixed with others are in progress (start, freeze, the
  // shim's last moments, removal); what comes meanwhile runs afterwards, in order.
  int holds = 0;
  std::vector<Loop::Callback> deferred;
};
using ContainerPtr = std::shared_ptr<Container>;

}  // namespace wherry::engine
