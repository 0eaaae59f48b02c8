// What the health checks of a container have found. Plain data, in memory only.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace wherry::engine {

enum class HealthStatus : uint8_t { kNone, kStarting, kHealthy, kUnhealthy };

// Docker's words: "none", "starting", ...
constexpr std::string_view HealthName(HealthStatus status) {
  constexpr std::string_view kNames[] = {"none", "starting", "healthy", "unhealthy"};
  return kNames[static_cast<size_t>(status)];
}

struct HealthResult {
  int64_t start_nanos = 0;  // unix time
  int64_t end_nanos = 0;
  int exit_code = 0;   // -1: no answer in time
  std::string output;  // its beginning
};

struct Health {
  HealthStatus status = HealthStatus::kNone;  // kNone: there is no check
  int64_t failing_streak = 0;
  std::deque<HealthResult> log;  // the last five, oldest first
};

}  // namespace wherry::engine
