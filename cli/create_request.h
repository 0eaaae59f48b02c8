// The options of `run` and `create`, and the JSON body of POST /containers/create they make. One
// table row per option.
#pragma once

#include <span>
#include <string>

#include "cli/options.h"
#include "core/base/result.h"

namespace wherry::cli {

// All options that describe the container itself (not --detach, --pull and the like).
std::span<const Option> CreateOptions();

// `attach`: the caller will follow the container's output. positional: IMAGE [COMMAND [ARG...]].
Result<std::string> CreateBody(const Arguments& arguments, bool attach);

}  // namespace wherry::cli
