// What GET /wherry/v1/device says: who and what this device is, and how it is in numbers.
#pragma once

#include <string>

#include "engine/config.h"
#include "engine/containers.h"

namespace wherry::engine {
class Updates;
}

namespace wherry::engine::api {

// docs/https.md, "The device", has the members. Blocking.
std::string DeviceJson(const Config& config, const Updates& updates,
                       const ContainerCounts& containers);

}  // namespace wherry::engine::api
