#include "engine/pace.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kWork{100};
// Pauses in quarters of the work before them.
constexpr unsigned int kShortestPause = 1;
constexpr unsigned int kLongestPause = 9 * 4;  // so a tenth of the speed is left
// The network may have been what was waited for, and the registry waits meanwhile.
constexpr std::chrono::seconds kMostPause{2};
constexpr size_t kMaxPressureFile = 4096;

}  // namespace

void UseDiskLast() {
  constexpr int kWhoProcess = 1;
  constexpr int kIdleClass = 3 << 13;
  (void)syscall(SYS_ioprio_set, kWhoProcess, 0, kIdleClass);
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345\nfull ..."
uint64_t Pace::StalledMicros() const {
  auto text = ReadFile(pressure_, kMaxPressureFile);
  auto line = text ? SplitFirst(*text, '\n') : std::nullopt;
  size_t at = line ? line->head.find("total=") : std::string_view::npos;
  auto total =
      at == std::string_view::npos ? Result<uint64_t>(0) : ParseUint(line->head.substr(at + 6));
  return total ? *total : 0;
}

void Pace::Wait() {
  if (pressure_.empty())
    return;
  auto now = Uptime();
  if (resumed_.count() != 0 && now - resumed_ < kWork)
    return;
  uint64_t stalled = StalledMicros();
  bool first = resumed_.count() == 0 || stalled < stalled_;
  std::chrono::microseconds since(first ? 0 : stalled - stalled_);
  if (since * 10 > now - looked_ && !first)
    pause_ = std::clamp(pause_ * 2, kShortestPause, kLongestPause);
  else
    pause_ /= 2;
  auto worked = now - resumed_;
  looked_ = resumed_ = now;
  stalled_ = stalled;
  if (pause_ > 0 && !first) {
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(worked / 4 * pause_, kMostPause));
    resumed_ = Uptime();
  }
}

}  // namespace wherry::engine
