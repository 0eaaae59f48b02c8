// Carries what is known of the time over the boots of a device without a clock: while a time server
// keeps the clock, a file is touched every few hours; its time is the floor of the next start
// (net/tls/time_floor.h). A clock that nobody keeps is not written down: one wrong year would stay.
#pragma once

#include <string>

#include "core/base/loop.h"

namespace wherry::engine {

class TimeKeeper {
 public:
  // `loop` outlives this. `file` need not be there; where it cannot be written the floor is lower.
  TimeKeeper(Loop* loop, std::string file);
  ~TimeKeeper();
  TimeKeeper(const TimeKeeper&) = delete;
  TimeKeeper& operator=(const TimeKeeper&) = delete;

 private:
  void Touch();

  Loop* loop_;
  std::string file_;
  Loop::TimerId timer_ = 0;
};

}  // namespace wherry::engine
