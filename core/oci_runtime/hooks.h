// Hooks of config.json (config.md "POSIX-platform hooks"): one after the other, where the caller
// is, the container's state on standard input. The environment is the hook's own; as with runc and
// crun, one without `env` has that of the caller, a startContainer hook that of the program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/command.h"

namespace wherry::oci_runtime {

// The error of the first that fails or takes longer than its timeout; that one has been killed with
// all of its session's process group, and those after it have not run. `kind`: "prestart".
// `environment`: for those without one; null: the caller's.
Result<> RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                  const std::string& state_json,
                  const std::vector<std::string>* environment = nullptr);

// The poststop hooks, all of them: the container has gone, and one that fails is a warning.
void RunPoststop(const Globals& globals, const std::vector<oci::Hook>& hooks,
                 const std::string& state_json);

}  // namespace wherry::oci_runtime
