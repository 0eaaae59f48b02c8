// The options of `run` and `create`, and the JSON body of POST /containers/create they make. One
// table row per option.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/options.h"
#include "core/base/result.h"

namespace wherry::cli {

// All options that describe the container itself (not --detach, --pull and the like).
std::span<const Option> CreateOptions();

// The variables of --env-file and --env; a name without value takes ours.
Result<std::vector<std::string>> Environment(const Arguments& arguments);

// `attach`: the caller will follow the container's output. positional: IMAGE [COMMAND [ARG...]].
Result<std::string> CreateBody(const Arguments& arguments, bool attach);

// Those of them that `update` takes, and the body of POST /containers/{id}/update they make.
std::span<const Option> UpdateRequestOptions();
Result<std::string> UpdateBody(const Arguments& arguments);

}  // namespace wherry::cli
