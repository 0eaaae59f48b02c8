// A stream of bytes read once from start to end: a blob from the network, a decompressor, a file,
// memory.
#pragma once

#include <cstddef>
#include <span>

#include "core/base/result.h"

namespace wherry {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the front of `out` (never empty) and returns how many bytes; 0 at the end. May block.
  // After an error the source is dead: only destruction is allowed. One thread at a time.
  virtual Result<size_t> Read(std::span<std::byte> out) = 0;
};

}  // namespace wherry
