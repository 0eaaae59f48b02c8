// Which containers a list shows: Docker's filters of GET /containers/json. Loop thread only.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine {

inline constexpr std::string_view kContainerFilters[] = {
    "ancestor", "before", "exited",  "expose",  "health", "id",     "is-task", "isolation",
    "label",    "name",   "network", "publish", "since",  "status", "volume",
};

struct ListOptions {
  bool all = false;   // also those without a process; implied by a limit and by a status filter
  int64_t limit = 0;  // the newest so many; 0 or less: no limit
  Filters filters;
};

// Newest first. kInvalid for a value no filter can have; kNotFound when "before" or "since" names
// no container.
Result<std::vector<ContainerPtr>> ListContainers(const Containers& containers,
                                                 const Networks& networks,
                                                 const ListOptions& options);

}  // namespace wherry::engine
