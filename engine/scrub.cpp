#include "engine/scrub.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/pace.h"
#include "engine/store_check.h"

namespace wherry::engine {

namespace {

using std::chrono::seconds;

// Clocks of devices without a battery jump: the time is looked at again.
constexpr seconds kLongestSleep{3600};
constexpr seconds kPressureSleep{5};
constexpr std::chrono::milliseconds kSlack{100};
constexpr unsigned kPressureLimit = 10;  // percent of the last 10 s in which somebody waited
constexpr size_t kMaxSmallFile = 4096;

seconds Now() {
  return std::chrono::duration_cast<seconds>(std::chrono::nanoseconds(UnixNanosNow()));
}

bool DiskIsUnderPressure() {
  auto text = ReadFile("/proc/pressure/io", kMaxSmallFile);
  if (!text || !text->starts_with("some avg10="))
    return false;
  return strtoul(text->c_str() + strlen("some avg10="), nullptr, 10) >= kPressureLimit;
}

}  // namespace

Scrub::Scrub(store::Store& store, ScrubOptions options)
    : store_(store), options_(std::move(options)) {
  if (options_.interval.count() > 0)
    thread_ = std::thread([this] { Run(); });
}

Scrub::~Scrub() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

bool Scrub::Sleep(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stop_; });
}

seconds Scrub::UntilDue() const {
  auto text = ReadFile(options_.stamp, kMaxSmallFile);
  auto last = text ? ParseUint(Trim(*text)) : Result<uint64_t>(0);
  if (!last)
    return seconds(0);
  seconds since = Now() - seconds(*last);
  // A time in the future was taken with a wrong clock.
  return since < seconds(0) ? seconds(0) : std::max(options_.interval - since, seconds(0));
}

void Scrub::Stamp() const {
  auto written = ReplaceFile(options_.stamp, Cat(Now().count(), "\n"), 0600, Durability::kVolatile);
  if (!written)
    LogWarning("time of the check of the store: ", written.error().message());
}

void Scrub::Run() {
  UseDiskLast();
  (void)setpriority(PRIO_PROCESS, 0, 19);
  if (!PathExists(options_.stamp))
    Stamp();
  for (bool more = true; more;) {
    seconds wait = UntilDue();
    if (wait.count() > 0)
      more = Sleep(std::min(wait, kLongestSleep));
    else if (Pass())
      Stamp();
    else
      more = Sleep(kLongestSleep);
  }
}

// False: it did not come to its end.
bool Scrub::Pass() {
  auto began = Uptime();
  auto pace = [&](const store::CheckCount& count) {
    while (DiskIsUnderPressure()) {
      if (!Sleep(kPressureSleep))
        return false;
      began += kPressureSleep;
    }
    std::chrono::duration<double> planned(static_cast<double>(count.bytes) /
                                          static_cast<double>(options_.bytes_per_second));
    auto ahead = began + std::chrono::duration_cast<std::chrono::nanoseconds>(planned) - Uptime();
    // What was behind is not made up for at once.
    if (ahead < -kSlack)
      began -= ahead;
    return Sleep(std::max(ahead, std::chrono::nanoseconds(0)));
  };
  auto checked = CheckAndSetAside(store_, store::CheckDepth::kContent, pace);
  if (!checked && checked.error().code() != Errc::kCancelled)
    LogWarning("background check of the store: ", checked.error().message());
  return static_cast<bool>(checked);
}

}  // namespace wherry::engine
