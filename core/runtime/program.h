// Finding and executing the container's program, with runc's error texts, which engines match. Runs
// in the container's init as the container's user. Internal to core/runtime.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

// The path to execute for args[0]: itself when it has a '/', otherwise the first executable regular
// file in the absolute directories of PATH (from `env`). exec: "foo": executable file not found in
// $PATH (127), permission denied (126), ...
StartResult<std::string> FindProgram(const std::string& name, const std::vector<std::string>& env);

// execve. Returns only with the error.
StartError Execute(const std::string& path, const std::vector<std::string>& args,
                   const std::vector<std::string>& env);

}  // namespace wherry::runtime
