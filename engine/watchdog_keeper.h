// Pets the hardware watchdog from the event loop: when that does not come round, or the engine is
// not healthy, the board is reset. Loop thread.
#pragma once

#include <functional>
#include <memory>

#include "board/watchdog.h"
#include "core/base/loop.h"

namespace wherry::engine {

class WatchdogKeeper {
 public:
  // `loop` outlives this object; `healthy` is asked each time.
  WatchdogKeeper(Loop* loop, board::Watchdog watchdog, std::function<bool()> healthy);
  // An orderly end stops the watchdog.
  ~WatchdogKeeper();
  WatchdogKeeper(const WatchdogKeeper&) = delete;
  WatchdogKeeper& operator=(const WatchdogKeeper&) = delete;

 private:
  void Tick();

  Loop* loop_;
  board::Watchdog watchdog_;
  std::function<bool()> healthy_;
  Loop::TimerId timer_ = 0;
};

}  // namespace wherry::engine
