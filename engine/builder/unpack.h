// Archives taken apart into a directory: build contexts, and what ADD unpacks. Every name is
// resolved by descriptor inside the given root, so neither ".." nor a link leads out of it. Hostile
// input. Worker; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::engine {

enum class Devices : uint8_t { kRefuse, kMake };

struct UnpackOptions {
  Devices devices = Devices::kRefuse;
  // Of everything that is made; absent: as the archive says.
  std::optional<std::pair<uint32_t, uint32_t>> owner;
  uint64_t reserve_bytes = 0;  // left free on the file system
};

// Below the path `prefix` of `root`, which is made when it is absent. An entry replaces what has
// its name, but a directory stays for a directory. kInvalid for malformed archives and for names
// that lead out; kNoSpace.
Result<> Unpack(ByteSource& tar, int root, const std::string& prefix, const UnpackOptions& options);

}  // namespace wherry::engine
