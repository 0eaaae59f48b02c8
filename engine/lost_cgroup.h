// What is left of a container whose shim, launcher or files are lost.
#pragma once

#include <string>

#include "core/base/result.h"

namespace wherry::engine {

// Ends what runs in the cgroup `path` and removes it, as the shim would have; whether anything ran.
// Success without such a cgroup. Blocking, for a worker.
Result<bool> RemoveLostCgroup(const std::string& path);

}  // namespace wherry::engine
