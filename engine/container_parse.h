// Parts of ParseContainerConfig, one file each: container_parse_mounts.cpp,
// container_parse_limits.cpp. Not for other users.
#pragma once

#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

// Binds, Mounts and Tmpfs of HostConfig, sorted by depth of their targets. kInvalid for duplicate
// targets.
Result<std::vector<MountRequest>> ParseMounts(JsonValue host_config);

// Memory, processor, process and block device limits, with Docker's cross-checks.
Result<LimitRequest> ParseLimits(JsonValue host_config);

// Ulimits, Devices, DeviceCgroupRules.
Result<std::vector<Ulimit>> ParseUlimits(JsonValue list);
Result<std::vector<DeviceRequest>> ParseDevices(JsonValue list);
Result<std::vector<std::string>> ParseDeviceRules(JsonValue list);

// An absolute path without "." , "..", doubled and trailing slashes; ".." never leaves the root.
std::string CleanPath(std::string_view path);

}  // namespace wherry::engine
