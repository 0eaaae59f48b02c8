// The health check of a container (Docker's HealthConfig): merged from the image's and the user's,
// and parsed. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::engine {

struct HealthCheck {
  std::vector<std::string> args;  // of the program that tells by its exit status, 0 being healthy
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds timeout{};
  std::chrono::nanoseconds start_period{};    // failures before its end do not count
  std::chrono::nanoseconds start_interval{};  // within it
  int64_t retries = 0;                        // failures in a row that make it unhealthy
};

// The user's with what it leaves out taken from the image's; each may be empty. Empty: no check.
std::string MergeHealthcheck(JsonValue own, std::string_view image_json);

// Of a normalised Config. Nothing without a check and for ["NONE"]; kInvalid in Docker's words.
Result<std::optional<HealthCheck>> ParseHealthcheck(JsonValue config);

}  // namespace wherry::engine
