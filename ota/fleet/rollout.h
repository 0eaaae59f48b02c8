// A rollout: a release that is opened for a group wave by wave. Plan and progress are one retained
// document at "fleet/rollout/GROUP", signed by the rollout key, so that who controls it may end at
// any time and another one go on. Plain data and pure functions; docs/fleet.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "ota/fleet/view.h"
#include "ota/key.h"

namespace wherry::ota {

inline constexpr std::string_view kRolloutType = "application/vnd.wherry.rollout.v1+json";

enum class Phase : uint8_t { kRunning, kPaused, kDone, kAborted };
std::string_view PhaseName(Phase phase);  // "running"

struct RolloutPlan {
  DeploymentId deployment;
  std::string group;
  std::string release_name;
  uint64_t release_sequence = 0;
  std::vector<uint32_t> waves{1000};  // gates of 1000, rising
  uint32_t abort_percent = 10;        // more failures of a hundred: aborted
  uint32_t least = 10;                // as if there were at least so many outcomes
  std::chrono::seconds soak{0};       // from a wave's last outcome to the next wave
  std::chrono::seconds patience{
      86'400};  // a connected device that is busy for longer is not waited for

  // kInvalid naming the option for waves that do not rise from 1 to 1000.
  Result<> Check() const;
};

// Devices by outcome: of those of the group for which the gate is open.
struct RolloutCounts {
  uint64_t members = 0;  // of the group
  uint64_t open = 0;     // for so many of them
  uint64_t by_outcome[6] = {};

  uint64_t of(Outcome outcome) const { return by_outcome[static_cast<size_t>(outcome)]; }
  uint64_t bad() const { return of(Outcome::kFailed) + of(Outcome::kOverdue); }
  uint64_t ended() const { return bad() + of(Outcome::kConfirmed); }
  void Write(JsonWriter& json) const;  // members of an object
  bool operator==(const RolloutCounts&) const = default;
};

struct Rollout {
  RolloutPlan plan;
  Phase phase = Phase::kRunning;
  uint64_t epoch = 0;   // grows with each controller
  uint64_t wave = 0;    // index
  int64_t opened = 0;   // the wave, Unix seconds
  int64_t settled = 0;  // since when it has nothing to wait for but the soak; 0: not yet
  std::string reason;   // of a pause or abort
  RolloutCounts counts;
  // Refusals: devices tell them by an event only, which the next controller may not see.
  struct Refused {
    std::string device, code, reason;
  };
  std::vector<Refused> refused;
  static constexpr size_t kMaxRefused = 100;

  uint32_t gate() const { return plan.waves[static_cast<size_t>(wave)]; }
  bool ended() const { return phase == Phase::kDone || phase == Phase::kAborted; }

  std::string ToJson() const;
  // The signed document. kDenied when no key of `keys` has signed it, kInvalid for what is none.
  static Result<Rollout> Open(std::string_view envelope, std::span<const PublicKey> keys);
};

// A device's place among 1000, as the device computes it (Desired::OpenFor).
RolloutCounts Count(const Rollout& rollout, const FleetView& view, std::chrono::nanoseconds uptime);

// Changes phase, wave, times and reason as the outcomes demand. Whether it has.
bool Advance(Rollout& rollout, const RolloutCounts& counts, int64_t unix_seconds);

}  // namespace wherry::ota
