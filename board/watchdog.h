// The hardware watchdog (Linux watchdog API): resets the board when it is not petted in time.
#pragma once

#include <chrono>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::board {

class Watchdog {
 public:
  // Starts it, with a timeout the device may round. kInvalid for what is no watchdog, kBusy when
  // another program has it.
  static Result<Watchdog> Open(const std::string& device, std::chrono::seconds timeout);

  // As the device has it.
  std::chrono::seconds timeout() const { return timeout_; }
  // It reset the board before this boot, as far as the device can tell.
  bool did_reset() const { return did_reset_; }

  Result<> Pet();
  // Ends it, unless the kernel was built to keep it (nowayout): an orderly end is no failure.
  void Stop();

 private:
  explicit Watchdog(UniqueFd file) : file_(std::move(file)) {}

  UniqueFd file_;
  std::chrono::seconds timeout_{0};
  bool did_reset_ = false;
};

}  // namespace wherry::board
