// A stream of bytes read once from start to end: a blob from the network, a decompressor, a file,
// memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "core/base/result.h"

namespace wherry {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the front of `out` (never empty) and returns how many bytes; 0 at the end. May block.
  // After an error the source is dead: only destruction is allowed. One thread at a time.
  virtual Result<size_t> Read(std::span<std::byte> out) = 0;
};

// Text in memory, which has to outlive it.
class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string_view text) : left_(text) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min(out.size(), left_.size());
    std::ranges::copy(std::as_bytes(std::span(left_.substr(0, count))), out.begin());
    left_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view left_;
};

}  // namespace wherry
