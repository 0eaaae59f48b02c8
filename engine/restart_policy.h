// When a container is started again after its end, and how long that waits (Docker's rules). Pure.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::engine {

enum class RestartMode : uint8_t { kNo, kAlways, kUnlessStopped, kOnFailure };

struct RestartPolicy {
  RestartMode mode = RestartMode::kNo;
  int64_t max_retries = 0;  // of kOnFailure; 0: no bound
};

// {"Name":"on-failure","MaximumRetryCount":3}. kInvalid in Docker's words.
Result<RestartPolicy> ParseRestartPolicy(JsonValue policy);

// After an end by itself. `retries`: how often the policy has started it since somebody did.
bool RestartsAfter(const RestartPolicy& policy, int exit_code, int64_t retries);

// Whether a container that ran before, and of which no process is left, is started with the daemon.
// `rests`: somebody stopped it, or it had done what it was for.
bool StartsWithDaemon(const RestartPolicy& policy, bool rests);

// Whether it has to be remembered over a restart that the container rests.
bool RemembersRest(const RestartPolicy& policy);

// The next wait: 100 ms, doubled with each quick end up to a minute; a run of ten seconds counts as
// a good one.
std::chrono::nanoseconds NextRestartDelay(std::chrono::nanoseconds last,
                                          std::chrono::nanoseconds run);

}  // namespace wherry::engine
