#include "engine/container_state.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

using enum ContainerState;
using enum ContainerEvent;

constexpr ContainerState kStates[] = {kCreated,  kRunning, kPaused, kRestarting,
                                      kRemoving, kExited,  kDead};

TEST(ContainerState, TransitionsOfALife) {
  struct Row {
    ContainerState from;
    ContainerEvent event;
    ContainerState to;
  };
  constexpr Row kRows[] = {
      {kCreated, kStart, kRunning},      {kRunning, kPause, kPaused},
      {kPaused, kUnpause, kRunning},     {kRunning, kExit, kExited},
      {kPaused, kExit, kExited},         {kExited, kStart, kRunning},
      {kExited, kRemove, kRemoving},     {kCreated, kRemove, kRemoving},
      {kRemoving, kRemoveFailed, kDead}, {kDead, kRemove, kRemoving},
  };
  for (const Row& row : kRows) {
    auto next = Transition(row.from, row.event);
    ASSERT_TRUE(next) << StateName(row.from);
    EXPECT_EQ(*next, row.to);
  }
}

TEST(ContainerState, ForbiddenTransitionsAreConflicts) {
  for (ContainerState state : kStates) {
    if (HasProcess(state)) {
      EXPECT_FALSE(Transition(state, kRemove)) << StateName(state);
      EXPECT_FALSE(Transition(state, kStart)) << StateName(state);
    } else {
      EXPECT_FALSE(Transition(state, kPause)) << StateName(state);
      EXPECT_FALSE(Transition(state, kExit)) << StateName(state);
    }
  }
  auto refused = Transition(kDead, kStart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kConflict);
  EXPECT_EQ(refused.error().message(), "cannot start a container that is dead");
}

TEST(ContainerState, NamesRoundTrip) {
  for (ContainerState state : kStates) {
    auto parsed = ParseState(StateName(state));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, state);
  }
  EXPECT_FALSE(ParseState("sleeping"));
}

}  // namespace
}  // namespace wherry::engine
