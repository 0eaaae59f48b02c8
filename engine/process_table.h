// The processes of a container as ps shows them, from /proc: devices need no ps of their own.
// Blocking: workers. No state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::engine {

struct ProcessTable {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;  // by process ID
};

// `ps_args` as Docker passes them to ps: "-ef" (also for an empty text), "aux", "-e", and a list of
// columns by "-o" or "-eo". kInvalid naming what is not known. Times are UTC.
Result<ProcessTable> ListProcesses(const std::string& cgroup, std::string_view ps_args);

}  // namespace wherry::engine
