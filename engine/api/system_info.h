// What /version and /info say about this machine and this build.
#pragma once

#include <string>

#include "engine/api/api.h"

namespace wherry::engine::api {

std::string VersionJson();

struct ContainerCounts {
  size_t running = 0;
  size_t paused = 0;
  size_t stopped = 0;
};
std::string InfoJson(const Config& config, const ContainerCounts& containers, size_t images);

}  // namespace wherry::engine::api
