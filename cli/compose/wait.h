// Waiting for what depends_on and --wait ask for.
#pragma once

#include <functional>
#include <vector>

#include "cli/compose/containers.h"

namespace wherry::cli {

struct WaitLimits {
  int64_t seconds = 0;              // 0: any time
  std::function<bool()> cancelled;  // asked again and again; may be empty
};

// Until all the containers fulfil the condition. kConflict when one cannot any more: unhealthy,
// ended, ended with an error; kTimeout, kCancelled by the limits.
Result<> WaitFor(Client& client, const std::vector<GroupContainer>& containers,
                 compose::Condition condition, const WaitLimits& limits);
// Healthy where there is a health check, else running.
Result<> WaitUntilUp(Client& client, const std::vector<GroupContainer>& containers,
                     const WaitLimits& limits);

}  // namespace wherry::cli
