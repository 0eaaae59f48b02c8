// How long to go on with something that fails in passing: doubling pauses with a random part, so
// that a fleet does not come back in step, or what the server asks for. Blocking; one thread at a
// time.
#pragma once

#include <atomic>
#include <chrono>

#include "core/base/result.h"

namespace wherry::registry {

class Retry {
 public:
  // `attempts` after the first; `cancelled` (borrowed, may be null) ends a pause with kCancelled.
  Retry(int attempts, const std::atomic<bool>* cancelled)
      : attempts_(attempts), cancelled_(cancelled) {}

  // Pauses before the next attempt. Gives `error` back when there is none: attempts are used up, or
  // the error is not a passing one (kUnavailable, kTimeout). `asked`: the server's Retry-After;
  // more than a minute is not waited for.
  Result<> Pause(Error error, std::chrono::seconds asked = std::chrono::seconds(0));
  // There was progress: counts anew.
  void Reset() { used_ = 0; }
  // No more than so many in total from now on.
  void LimitTo(int attempts) {
    if (attempts < attempts_)
      attempts_ = attempts;
  }

  static bool IsPassing(const Error& error) {
    return error.code() == Errc::kUnavailable || error.code() == Errc::kTimeout;
  }

 private:
  int attempts_;
  int used_ = 0;
  const std::atomic<bool>* cancelled_;
};

// The pause before attempt number `attempt` (0 is the first repetition): 250 ms doubled each time
// up to 15 s, plus up to a quarter of it as `random` (0..255) says.
std::chrono::milliseconds BackoffPause(int attempt, uint8_t random);

}  // namespace wherry::registry
