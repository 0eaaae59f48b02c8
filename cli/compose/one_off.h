// Programs beside the services: exec in a container that runs, run in one of its own.
#pragma once

#include "cli/compose/project.h"

namespace wherry::cli {

Result<int> ComposeExec(const ComposeCall& call);
Result<int> ComposeRun(const ComposeCall& call);
std::span<const Option> ComposeExecOptions();
std::span<const Option> ComposeRunOptions();

}  // namespace wherry::cli
