// Restart policies and the restart operation: see containers.h.
//
// Between two runs by a policy a container is kRestarting; a timer starts it. A stop, a removal or
// a start by somebody ends that state. What has to outlive a restart of the machine is one flag in
// the record: that the container rests, because somebody stopped it or it ended well. It is written
// only for the policies that ask for it.
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/container_record.h"
#include "engine/containers.h"

namespace wherry::engine {

// Whether the end of the container leads to another run; then it is kRestarting.
bool Containers::RestartByPolicy(const ContainerPtr& container) {
  const RestartPolicy& policy = container->config->host.restart;
  const RunStatus& status = container->status;
  bool restarts = !container->stop_requested && !container->restart_requested &&
                  RestartsAfter(policy, status.exit_code, container->restart_count);
  if (!restarts) {
    bool done = !container->restart_requested &&
                (container->stop_requested || policy.mode == RestartMode::kOnFailure);
    if (done)
      Remember(container, true);
    return false;
  }
  std::chrono::nanoseconds run(status.finished_nanos - status.started_nanos);
  AwaitRestart(container, run);
  return true;
}

void Containers::AwaitRestart(const ContainerPtr& container, std::chrono::nanoseconds run) {
  container->state = ContainerState::kRestarting;
  container->last_end = container->status;
  container->restart_delay = NextRestartDelay(container->restart_delay, run);
  container->restart_timer =
      env_.loop->After(container->restart_delay, [this, weak = std::weak_ptr(container)] {
        if (auto held = weak.lock())
          WhenIdle(held, [this, held] { RunAgain(held); });
      });
}

void Containers::RunAgain(const ContainerPtr& container) {
  if (container->state != ContainerState::kRestarting)
    return;  // stopped meanwhile
  ++container->restart_count;
  StartIdle(container, [this, container](Result<> started) {
    if (started || container->state != ContainerState::kRestarting)
      return;
    // What was missing may come back: a device, a mount, memory.
    if (RestartsAfter(container->config->host.restart, container->status.exit_code,
                      container->restart_count))
      return AwaitRestart(container, std::chrono::nanoseconds(0));
    container->state = ContainerState::kExited;
  });
}

// Somebody decides what happens next: the policy's count begins anew.
void Containers::EndRestarting(Container& container) {
  env_.loop->Cancel(container.restart_timer);
  container.restart_count = 0;
  container.restart_delay = std::chrono::nanoseconds(0);
  if (container.state == ContainerState::kRestarting)
    container.state = ContainerState::kExited;
}

void Containers::Remember(const ContainerPtr& container, bool rests) {
  if (!RemembersRest(container->config->host.restart) || container->rests == rests)
    return;
  container->rests = rests;
  ++container->holds;
  OnWorker<void>([directory = container->directory,
                  record = RecordOf(*container)] { return SaveRecord(directory, record); },
                 [this, container](Result<> saved) {
                   if (!saved) {
                     LogError("container ", container->name,
                              " may be started again with the daemon: ", saved.error().message());
                   }
                   Release(container);
                 });
}

void Containers::Restart(ContainerPtr container, StopOptions options, Done<> done) {
  auto start = [this, container, done = std::move(done)](Result<> stopped) mutable {
    container->restart_requested = false;
    if (!stopped && stopped.error().code() != Errc::kNotModified)
      return done(std::move(stopped));
    Start(container, [this, container, done = std::move(done)](Result<> started) mutable {
      if (started || started.error().code() == Errc::kNotModified) {
        Publish(*container, "restart");
        return done({});
      }
      done(std::move(started));
    });
  };
  container->restart_requested = true;  // the end in between is none: no removal by --rm
  Stop(container, std::move(options), std::move(start));
}

}  // namespace wherry::engine
