// Waiting for what depends_on and --wait ask for.
#pragma once

#include <vector>

#include "cli/compose/containers.h"

namespace wherry::cli {

// Until all containers of the service `service` fulfil the condition. kConflict when one cannot any
// more: unhealthy, ended, ended with an error; kTimeout after `seconds` (0: any time).
Result<> WaitFor(Client& client, const std::vector<GroupContainer>& containers,
                 compose::Condition condition, int64_t seconds);
// Healthy where there is a health check, else running.
Result<> WaitUntilUp(Client& client, const std::vector<GroupContainer>& containers,
                     int64_t seconds);

}  // namespace wherry::cli
