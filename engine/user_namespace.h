// Containers whose root is an ordinary user of the host ([containers] userns-remap, docker's
// userns-remap): which ids they have outside. Files keep the owners they have inside on disk,
// because their mounts are mapped; so the setting may change between two starts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/id_map.h"
#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

// "off"; "100000:65536", the first id outside and their number, for users and groups; or a name in
// /etc/subuid and /etc/subgid. Nothing for "off".
Result<std::optional<IdMaps>> ParseRemap(std::string_view value);

// Docker's words for what needs rights over the host. `options` of a container that is remapped.
Result<> CheckRemapped(const HostOptions& options);

// The ids of a process in another user namespace than the daemon's; nothing for others.
Result<std::optional<IdMaps>> IdMapsOf(int pid);

}  // namespace wherry::engine
