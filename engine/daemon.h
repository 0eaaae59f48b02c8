// The daemon process: opens the store, finds running containers again, serves the API, and ends on
// SIGTERM or SIGINT while containers go on running.
#pragma once

#include "core/base/result.h"
#include "engine/config.h"

namespace wherry::engine {

// Blocks until the daemon is told to end. One error sentence when it cannot start.
Result<> RunDaemon(Config config);

}  // namespace wherry::engine
