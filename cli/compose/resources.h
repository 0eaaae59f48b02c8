// The networks and volumes of a group in the daemon.
#pragma once

#include <vector>

#include "cli/compose/project.h"

namespace wherry::cli {

// Makes those that the services use and that are not there; external ones must be.
Result<> ProvideResources(const ComposeCall& call,
                          const std::vector<const compose::Service*>& services);
// Removes those with the group's label.
Result<> RemoveNetworks(const ComposeCall& call);
Result<> RemoveVolumes(const ComposeCall& call);

}  // namespace wherry::cli
