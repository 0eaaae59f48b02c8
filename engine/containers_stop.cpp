// Signals, stop, freezing and terminal size: see containers.h.
#include <csignal>

#include "core/base/text.h"
#include "core/runtime/cgroup.h"
#include "core/shim/protocol.h"
#include "core/sys/cgroup.h"
#include "engine/container_signals.h"
#include "engine/containers.h"
#include "engine/shim_client.h"

namespace wherry::engine {

namespace {

// Processes in uninterruptible sleep can survive SIGKILL for as long as a device hangs.
constexpr std::chrono::seconds kKillTimeout{30};

Result<> SetFrozen(const std::string& cgroup, bool freeze) {
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  auto group = TRY(runtime::Cgroup::Open(host, cgroup));
  return freeze ? group.Freeze() : group.Thaw();
}

// One wait for the end of a container with a SIGKILL and a final deadline. Owned by its waiter and
// timers.
struct EndWait {
  Done<> done;
  Loop::TimerId timer = 0;
  uint64_t waiter = 0;
};

}  // namespace

// Signals init; SIGKILL reaches every process of the container, also without a pid namespace of its
// own.
Result<> Containers::Signal(Container& container, int signal_number) {
  if (signal_number == SIGKILL && container.watch)
    container.watch->Send(shim::kKillAll);
  if (!container.init) {
    if (signal_number == SIGKILL && container.watch)
      return {};
    return Fail(Errc::kConflict, Cat("container ", container.id, " is not running"));
  }
  auto sent = container.init.Signal(signal_number);
  // It has just ended: the news is under way.
  if (!sent && sent.error().code() != Errc::kNotFound)
    return sent;
  Publish(container, "kill", {{"signal", Cat(signal_number)}});
  return {};
}

// Answers at the end of the container; after `timeout` (absent: never) SIGKILL helps.
void Containers::KillAfter(const ContainerPtr& container,
                           std::optional<std::chrono::seconds> timeout, Done<> done) {
  auto wait = std::make_shared<EndWait>(std::move(done));
  auto give_up = [this, container, wait] {
    CancelWait(container, wait->waiter);
    wait->done(Fail(Errc::kTimeout, Cat("container ", container->name, " does not end, ",
                                        kKillTimeout.count(), " seconds after SIGKILL")));
  };
  auto kill = [this, container, wait, give_up] {
    auto sent = Signal(*container, SIGKILL);
    if (!sent) {
      CancelWait(container, wait->waiter);
      return wait->done(std::move(sent));
    }
    wait->timer = env_.loop->After(kKillTimeout, give_up);
  };
  wait->waiter = Wait(container, WaitCondition::kNotRunning, [this, wait](const WaitResult&) {
    env_.loop->Cancel(wait->timer);
    wait->done({});
  });
  if (wait->waiter == 0 || !timeout)
    return;
  if (timeout->count() == 0)
    return kill();
  wait->timer = env_.loop->After(*timeout, kill);
}

void Containers::Stop(ContainerPtr container, StopOptions options, Done<> done) {
  auto parsed = options.signal.empty() ? Result<int>(container->config->stop_signal)
                                       : ParseSignal(options.signal);
  if (!parsed)
    return done(std::unexpected(std::move(parsed).error()));
  int seconds = options.timeout_seconds.value_or(
      container->config->stop_timeout_seconds.value_or(env_.config->stop_timeout_seconds));
  WhenIdle(container,
           [this, container, signal = *parsed, seconds, done = std::move(done)]() mutable {
             if (container->state == ContainerState::kRestarting) {
               EndRestarting(*container);
               if (!container->restart_requested)
                 Remember(container, true);
               return done({});
             }
             if (!HasProcess(container->state))
               return done(Fail(Errc::kNotModified, "not running"));
             container->stop_requested = true;
             auto sent = Signal(*container, signal);
             if (!sent)
               return done(std::move(sent));
             if (container->state == ContainerState::kPaused)
               Unpause(container, [](Result<>) {});
             std::optional<std::chrono::seconds> timeout;
             if (seconds >= 0)
               timeout = std::chrono::seconds(seconds);
             KillAfter(container, timeout,
                       [this, container, done = std::move(done)](Result<> ended) mutable {
                         if (ended)
                           Publish(*container, "stop");
                         done(std::move(ended));
                       });
           });
}

void Containers::Kill(ContainerPtr container, std::string_view signal, Done<> done) {
  auto parsed = signal.empty() ? Result<int>(SIGKILL) : ParseSignal(signal);
  if (!parsed)
    return done(std::unexpected(std::move(parsed).error()));
  WhenIdle(container, [this, container, signal = *parsed, done = std::move(done)]() mutable {
    if (!HasProcess(container->state)) {
      return done(Fail(Errc::kConflict, Cat("cannot kill container: ", container->name,
                                            ": container ", container->id, " is not running")));
    }
    if (signal == SIGKILL || signal == container->config->stop_signal)
      container->stop_requested = true;
    if (signal == SIGKILL)
      return KillAfter(container, std::chrono::seconds(0), std::move(done));
    done(Signal(*container, signal));
  });
}

void Containers::Freeze(const ContainerPtr& container, bool freeze, Done<> done) {
  auto next =
      Transition(container->state, freeze ? ContainerEvent::kPause : ContainerEvent::kUnpause);
  if (!next) {
    std::string_view why = !HasProcess(container->state) ? " is not running"
                           : freeze                      ? " is already paused"
                                                         : " is not paused";
    return done(Fail(Errc::kConflict, Cat("Container ", container->id, why)));
  }
  ++container->holds;
  OnWorker<void>([cgroup = CgroupPath(container->id), freeze] { return SetFrozen(cgroup, freeze); },
                 [this, container, freeze, done = std::move(done)](Result<> changed) mutable {
                   auto after = Transition(container->state, freeze ? ContainerEvent::kPause
                                                                    : ContainerEvent::kUnpause);
                   if (changed && after) {
                     container->state = *after;
                     container->status.paused = freeze;
                     SaveStatus(*container);
                     Publish(*container, freeze ? "pause" : "unpause");
                   }
                   Release(container);
                   done(std::move(changed));
                 });
}

void Containers::Pause(ContainerPtr container, Done<> done) {
  WhenIdle(container, [this, container, done = std::move(done)]() mutable {
    Freeze(container, true, std::move(done));
  });
}

void Containers::Unpause(ContainerPtr container, Done<> done) {
  WhenIdle(container, [this, container, done = std::move(done)]() mutable {
    Freeze(container, false, std::move(done));
  });
}

Result<> Containers::Resize(const ContainerPtr& container, uint16_t rows, uint16_t columns) {
  if (!HasProcess(container->state) || !container->watch) {
    return Fail(Errc::kConflict, Cat("Container ", container->id, " is not running"));
  }
  container->watch->Send(shim::kResize, ResizePayload(rows, columns));
  Publish(*container, "resize", {{"height", Cat(rows)}, {"width", Cat(columns)}});
  return {};
}

}  // namespace wherry::engine
