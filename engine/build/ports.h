// Ports of EXPOSE. Internal to the stage.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::build {

// "80" -> "80/tcp"; "8000-8002/UDP" -> three of them. An address and a host's port in front are
// left out, as in Docker. kInvalid otherwise.
Result<std::vector<std::string>> ParsePorts(std::string_view text);

}  // namespace wherry::build
