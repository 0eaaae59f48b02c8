// A container as Docker's API shows it: the row of a list and the whole of inspect
// (ContainerSummary and ContainerInspectResponse of API v1.47). No state.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "engine/container.h"
#include "engine/network/networks.h"

namespace wherry::engine::api {

struct ContainerSize {
  uint64_t written = 0;  // by the container
  uint64_t root = 0;     // with its image
};

// `size` may be null.
void WriteContainerSummary(JsonWriter& json, const Container& container, const Networks& networks,
                           int64_t now_nanos, const ContainerSize* size = nullptr);
// A reader is not shown the environment, where programs are given their secrets.
enum class Environment : uint8_t { kShown, kHidden };
std::string ContainerInspectJson(const Container& container, const Networks& networks,
                                 Environment environment = Environment::kShown);

// "Up 5 minutes (Paused)", "Exited (0) 2 hours ago", "Created".
std::string StatusText(const Container& container, int64_t now_nanos);
// "nginx -g 'daemon off;'"
std::string CommandText(const std::vector<std::string>& args);

}  // namespace wherry::engine::api
