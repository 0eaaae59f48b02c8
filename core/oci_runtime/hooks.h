// Hooks of config.json (config.md "POSIX-platform hooks"): one after the other, where the caller
// is, the container's state on standard input, the environment that of the hook alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::oci_runtime {

// The error of the first that fails or takes longer than its timeout; that one has been killed with
// all of its session's process group, and those after it have not run. `kind`: "prestart".
Result<> RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                  const std::string& state_json);

}  // namespace wherry::oci_runtime
