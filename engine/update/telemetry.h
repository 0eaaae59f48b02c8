// How the device is, in numbers, for the fleet. Blocking.
#pragma once

#include <string>

#include "engine/containers.h"

namespace wherry::engine {

// {"up":ms,"mem":{...},...} as docs/mqtt.md describes it; what the kernel does not tell is absent.
// `directory`: of the file system whose room counts.
std::string TelemetryJson(const std::string& directory, const ContainerCounts& counts);

}  // namespace wherry::engine
