#include "engine/pull_progress.h"

#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr std::chrono::milliseconds kProgressPeriod{100};
constexpr size_t kShortDigest = 12;

}  // namespace

std::string ShortName(const oci::Layer& layer) {
  return layer.descriptor.digest.hex().substr(0, kShortDigest);
}

Result<> PullProgress::Count(uint64_t more) {
  current_ += more;
  auto now = Uptime();
  if (now - told_ < kProgressPeriod)
    return {};
  told_ = now;
  if (!(*sink_)({status_, id_, current_, total_}))
    return Fail(Errc::kCancelled, "the transfer was cancelled");
  return {};
}

}  // namespace wherry::engine
