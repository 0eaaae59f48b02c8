// Docker's JSON object Volume. Thread-safe, no state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/json.h"
#include "engine/volumes.h"

namespace wherry::engine::api {

struct VolumeUse {
  uint64_t bytes = 0;
  size_t containers = 0;
};

// With `use` the member UsageData is added.
void WriteVolume(JsonWriter& json, const Volumes& volumes, const Volume& volume,
                 const VolumeUse* use = nullptr);

}  // namespace wherry::engine::api
