// The table of the options that `run`, `create` and `update` send to the daemon.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/options.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::cli {

// Which object of the body a row writes to.
enum class Part : uint8_t { kConfig, kHost, kNone };

// What was given of that part, as members of the object that is open.
Result<> WriteRows(JsonWriter& json, const Arguments& arguments, Part part);

// {"NAME":"VALUE"} of NAME[=VALUE].
Result<> WriteNameValues(JsonWriter& json, const std::vector<std::string>& words);

}  // namespace wherry::cli
