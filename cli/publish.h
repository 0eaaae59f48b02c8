// The network options of run and create: published ports, and the networks themselves, as the
// members of POST /containers/create.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/compose/ports.h"

namespace wherry::cli {

// The words of --publish or --expose.
Result<std::vector<compose::Port>> ParsePublications(const std::vector<std::string>& words);

// Config.ExposedPorts, HostConfig.PortBindings and NetworkingConfig, each with its key; nothing
// when not asked for.
Result<> WriteExposedPorts(JsonWriter& json, const Arguments& arguments);
Result<> WritePortBindings(JsonWriter& json, const Arguments& arguments);
Result<> WriteNetworking(JsonWriter& json, const Arguments& arguments);

}  // namespace wherry::cli
