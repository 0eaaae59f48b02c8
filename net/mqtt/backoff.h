// How long to wait before the next attempt to connect: full jitter, 1 s doubled up to 5 minutes.
#pragma once

#include <chrono>
#include <cstdint>

namespace wherry::mqtt {

struct BackoffRange {
  std::chrono::milliseconds first{1000};
  std::chrono::milliseconds most{300'000};
};

// After `failures` attempts in a row (1 at least). `random`: 0 to 2^32-1, even. The result is
// between 0 and the limit, which doubles with each failure: a fleet that lost its broker at once
// does not come back at once.
std::chrono::milliseconds Backoff(const BackoffRange& range, unsigned failures, uint32_t random);

}  // namespace wherry::mqtt
