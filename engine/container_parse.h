// Parts of ParseContainerConfig, one file each: container_parse_mounts.cpp,
// container_parse_limits.cpp. Not for other users.
#pragma once

#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

// Binds, Mounts and Tmpfs of HostConfig and the Volumes of Config, sorted by depth of their
// targets. `names`: see NormalisedRequest::volumes_json. kInvalid for duplicate targets.
Result<std::vector<MountRequest>> ParseMounts(JsonValue host_config, JsonValue volumes,
                                              JsonValue names);
// The targets of those that are volumes without a name.
Result<std::vector<std::string>> AnonymousTargets(JsonValue host_config, JsonValue volumes);

// Memory, processor, process and block device limits, with Docker's cross-checks.
Result<LimitRequest> ParseLimits(JsonValue host_config);

// StorageOpt: {"size":"10g"} in bytes, at least 1 MiB.
Result<uint64_t> ParseStorageSize(JsonValue options);

// Ulimits, Devices, DeviceCgroupRules.
Result<std::vector<Ulimit>> ParseUlimits(JsonValue list);
Result<std::vector<DeviceRequest>> ParseDevices(JsonValue list);
Result<std::vector<std::string>> ParseDeviceRules(JsonValue list);

// An absolute path without "." , "..", doubled and trailing slashes; ".." never leaves the root.
std::string CleanPath(std::string_view path);

}  // namespace wherry::engine
