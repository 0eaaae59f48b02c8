// The network options of run and create: published ports, and the networks themselves, as the
// members of POST /containers/create.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::cli {

// One of --publish: [ADDRESS:][HOST:]PORT[/PROTOCOL], a range for each PORT for a port.
struct Publication {
  std::string port;     // "80/tcp"
  std::string address;  // may be empty
  std::string host;     // "8080", "8000-8010"; empty: any
};
Result<std::vector<Publication>> ParsePublications(const std::vector<std::string>& words);

// Config.ExposedPorts, HostConfig.PortBindings and NetworkingConfig, each with its key; nothing
// when not asked for.
Result<> WriteExposedPorts(JsonWriter& json, const Arguments& arguments);
Result<> WritePortBindings(JsonWriter& json, const Arguments& arguments);
Result<> WriteNetworking(JsonWriter& json, const Arguments& arguments);

}  // namespace wherry::cli
