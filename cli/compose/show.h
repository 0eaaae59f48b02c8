// ps, top, port, config: looking only.
#pragma once

#include "cli/compose/project.h"

namespace wherry::cli {

Result<int> ComposePs(const ComposeCall& call);
Result<int> ComposeTop(const ComposeCall& call);
Result<int> ComposeConfig(const ComposeCall& call);
std::span<const Option> ComposePsOptions();
std::span<const Option> ComposeConfigOptions();

}  // namespace wherry::cli
