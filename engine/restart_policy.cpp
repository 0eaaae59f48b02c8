#include "engine/restart_policy.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::engine {

namespace {

struct ModeRow {
  std::string_view name;
  RestartMode mode;
};
constexpr ModeRow kModes[] = {
    {"no", RestartMode::kNo},
    {"always", RestartMode::kAlways},
    {"unless-stopped", RestartMode::kUnlessStopped},
    {"on-failure", RestartMode::kOnFailure},
};

constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::minutes kLongestDelay{1};
constexpr std::chrono::seconds kGoodRun{10};

}  // namespace

Result<RestartPolicy> ParseRestartPolicy(JsonValue policy) {
  std::string_view name = policy["Name"].str();
  auto row = std::ranges::find(kModes, name, &ModeRow::name);
  if (row == std::end(kModes))
    return Fail(Errc::kInvalid, Cat("invalid restart policy: unknown policy '", name, "'"));
  RestartPolicy parsed{row->mode, policy["MaximumRetryCount"].integer()};
  if (parsed.max_retries < 0) {
    return Fail(Errc::kInvalid, "invalid restart policy: maximum retry count cannot be negative");
  }
  if (parsed.max_retries != 0 && parsed.mode != RestartMode::kOnFailure) {
    return Fail(Errc::kInvalid,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'");
  }
  return parsed;
}

bool RestartsAfter(const RestartPolicy& policy, int exit_code, int64_t retries) {
  switch (policy.mode) {
    case RestartMode::kNo:
      return false;
    case RestartMode::kAlways:
    case RestartMode::kUnlessStopped:
      return true;
    case RestartMode::kOnFailure:
      return exit_code != 0 && (policy.max_retries == 0 || retries < policy.max_retries);
  }
  return false;
}

bool StartsWithDaemon(const RestartPolicy& policy, bool rests) {
  return policy.mode == RestartMode::kAlways || (RemembersRest(policy) && !rests);
}

bool RemembersRest(const RestartPolicy& policy) {
  return policy.mode == RestartMode::kUnlessStopped || policy.mode == RestartMode::kOnFailure;
}

std::chrono::nanoseconds NextRestartDelay(std::chrono::nanoseconds last,
                                          std::chrono::nanoseconds run) {
  if (run >= kGoodRun || last.count() == 0)
    return kFirstDelay;
  return std::min<std::chrono::nanoseconds>(last * 2, kLongestDelay);
}

}  // namespace wherry::engine
