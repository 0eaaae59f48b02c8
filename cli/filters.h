// Filters as people give them (`--filter name=web`) in the form the API takes.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"

namespace wherry::cli {

// {"name=web", "label=a"} -> {"name":["web"],"label":["a"]}; no filters: empty.
Result<std::string> FiltersJson(const std::vector<std::string>& words);

}  // namespace wherry::cli
