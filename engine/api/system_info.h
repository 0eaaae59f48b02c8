// What /version and /info say about this machine and this build.
#pragma once

#include <string>

#include "engine/api/api.h"
#include "engine/containers.h"

namespace wherry::engine::api {

std::string VersionJson();
// For people: "Debian GNU/Linux 12 (bookworm)".
std::string OperatingSystem();

std::string InfoJson(const Config& config, const ContainerCounts& containers, size_t images,
                     const store::Store& store);

}  // namespace wherry::engine::api
