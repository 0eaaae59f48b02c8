// The states of a container and the table of what leads from one to another. Thread-safe, no state
// of its own.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/result.h"

namespace wherry::engine {

enum class ContainerState : uint8_t {
  kCreated,  // never started, or its first start failed
  kRunning,
  kPaused,      // running, frozen
  kRestarting,  // between two runs by a restart policy
  kRemoving,
  kExited,
  kDead,  // its removal failed half-way; only removing again is possible
};

enum class ContainerEvent : uint8_t { kStart, kExit, kPause, kUnpause, kRemove, kRemoveFailed };

// Docker's words: "created", "running", ...
std::string_view StateName(ContainerState state);
// kInvalid for a word that is no state.
Result<ContainerState> ParseState(std::string_view name);

// The state after `event`; kConflict "container is paused" style when the table has no such row.
Result<ContainerState> Transition(ContainerState from, ContainerEvent event);

// Running or paused: there is a process.
constexpr bool HasProcess(ContainerState state) {
  return state == ContainerState::kRunning || state == ContainerState::kPaused;
}

}  // namespace wherry::engine
