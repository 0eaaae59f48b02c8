#include "net/mqtt/backoff.h"

#include <algorithm>

namespace wherry::mqtt {

std::chrono::milliseconds Backoff(const BackoffRange& range, unsigned failures, uint32_t random) {
  constexpr unsigned kMostDoublings = 20;
  unsigned doublings = std::min(failures == 0 ? 0 : failures - 1, kMostDoublings);
  int64_t limit = std::min<int64_t>(range.first.count() << doublings, range.most.count());
  return std::chrono::milliseconds(
      static_cast<int64_t>(static_cast<uint64_t>(limit) * random >> 32));
}

}  // namespace wherry::mqtt
