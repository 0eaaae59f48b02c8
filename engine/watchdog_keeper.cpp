#include "engine/watchdog_keeper.h"

#include "core/base/log.h"

namespace wherry::engine {

namespace {

// Of the watchdog's timeout: one late turn of the loop is no reason for a reset.
constexpr int kTurns = 3;

}  // namespace

WatchdogKeeper::WatchdogKeeper(Loop* loop, board::Watchdog watchdog, std::function<bool()> healthy)
    : loop_(loop), watchdog_(std::move(watchdog)), healthy_(std::move(healthy)) {
  Tick();
}

WatchdogKeeper::~WatchdogKeeper() {
  loop_->Cancel(timer_);
  watchdog_.Stop();
}

void WatchdogKeeper::Tick() {
  if (!healthy_()) {
    LogError("a trial or restart is overdue: the watchdog resets the board within ",
             watchdog_.timeout().count(), " s");
  } else if (Result<> petted = watchdog_.Pet(); !petted) {
    LogError(petted.error().message());
  }
  timer_ = loop_->After(std::chrono::nanoseconds(watchdog_.timeout()) / kTurns, [this] { Tick(); });
}

}  // namespace wherry::engine
