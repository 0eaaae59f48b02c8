#include "net/registry/retry.h"

#include <sys/random.h>

#include <algorithm>
#include <ctime>

namespace wherry::registry {

namespace {

constexpr std::chrono::milliseconds kFirstPause{250};
constexpr std::chrono::milliseconds kLongestPause{15'000};
constexpr std::chrono::seconds kLongestAsked{60};
constexpr std::chrono::milliseconds kNap{100};
constexpr int kMostDoublings = 10;

Result<> Sleep(std::chrono::milliseconds time, const std::atomic<bool>* cancelled) {
  for (; time.count() > 0; time -= kNap) {
    if (cancelled != nullptr && cancelled->load())
      return Fail(Errc::kCancelled, "the transfer was cancelled");
    timespec nap{0, static_cast<long>(std::min(time, kNap).count() * 1'000'000)};
    (void)nanosleep(&nap, nullptr);
  }
  return {};
}

}  // namespace

std::chrono::milliseconds BackoffPause(int attempt, uint8_t random) {
  auto pause = std::min(kFirstPause * (1 << std::clamp(attempt, 0, kMostDoublings)), kLongestPause);
  return pause + pause * random / 1024;
}

Result<> Retry::Pause(Error error, std::chrono::seconds asked) {
  if (!IsPassing(error) || used_ >= attempts_ || asked > kLongestAsked)
    return std::unexpected(std::move(error));
  uint8_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random)
    random = 128;
  auto pause = BackoffPause(used_++, random);
  return Sleep(std::max<std::chrono::milliseconds>(pause, asked), cancelled_);
}

}  // namespace wherry::registry
