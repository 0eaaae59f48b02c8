// Ending what runs, and simple actions on the containers of services.
#pragma once

#include <vector>

#include "cli/compose/containers.h"

namespace wherry::cli {

// Containers of services that the files do not have.
Result<std::vector<GroupContainer>> OrphansOf(const ComposeCall& call);

struct RemoveRequest {
  std::string timeout;   // seconds; empty: the containers' own
  bool volumes = false;  // anonymous ones, too
};
// All at the same time.
Result<> StopAndRemove(const ComposeCall& call, const std::vector<GroupContainer>& containers,
                       const RemoveRequest& request);

Result<int> ComposeDown(const ComposeCall& call);
Result<int> ComposeStop(const ComposeCall& call);
Result<int> ComposeStart(const ComposeCall& call);
Result<int> ComposeRestart(const ComposeCall& call);
Result<int> ComposeKill(const ComposeCall& call);
Result<int> ComposePause(const ComposeCall& call);
Result<int> ComposeUnpause(const ComposeCall& call);
Result<int> ComposeRm(const ComposeCall& call);
std::span<const Option> ComposeDownOptions();
std::span<const Option> ComposeStopOptions();
std::span<const Option> ComposeKillOptions();
std::span<const Option> ComposeRmOptions();

}  // namespace wherry::cli
