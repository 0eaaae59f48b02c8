#include "engine/container_state.h"

#include "core/base/text.h"

namespace wherry::engine {

namespace {

using enum ContainerState;

struct TransitionRow {
  ContainerState from;
  ContainerEvent event;
  ContainerState to;
};

constexpr TransitionRow kTransitions[] = {
    {kCreated, ContainerEvent::kStart, kRunning},
    {kExited, ContainerEvent::kStart, kRunning},
    {kRestarting, ContainerEvent::kStart, kRunning},
    {kRunning, ContainerEvent::kExit, kExited},
    {kPaused, ContainerEvent::kExit, kExited},
    {kRunning, ContainerEvent::kPause, kPaused},
    {kPaused, ContainerEvent::kUnpause, kRunning},
    {kCreated, ContainerEvent::kRemove, kRemoving},
    {kExited, ContainerEvent::kRemove, kRemoving},
    {kDead, ContainerEvent::kRemove, kRemoving},
    {kRestarting, ContainerEvent::kRemove, kRemoving},
    {kRemoving, ContainerEvent::kRemoveFailed, kDead},
};

constexpr std::string_view kStateNames[] = {
    "created", "running", "paused", "restarting", "removing", "exited", "dead",
};

constexpr std::string_view kEventVerbs[] = {
    "start", "end", "pause", "unpause", "remove", "give up removing",
};

}  // namespace

std::string_view StateName(ContainerState state) {
  return kStateNames[static_cast<size_t>(state)];
}

Result<ContainerState> ParseState(std::string_view name) {
  for (size_t i = 0; i < std::size(kStateNames); ++i) {
    if (kStateNames[i] == name)
      return static_cast<ContainerState>(i);
  }
  return Fail(Errc::kInvalid, Cat("invalid filter 'status=", name, "'"));
}

Result<ContainerState> Transition(ContainerState from, ContainerEvent event) {
  for (const TransitionRow& row : kTransitions) {
    if (row.from == from && row.event == event)
      return row.to;
  }
  return Fail(Errc::kConflict, Cat("cannot ", kEventVerbs[static_cast<size_t>(event)],
                                   " a container that is ", StateName(from)));
}

}  // namespace wherry::engine
