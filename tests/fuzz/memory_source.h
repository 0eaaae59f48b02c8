// The input of a fuzz target as a source of bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/base/byte_source.h"

class MemorySource : public wherry::ByteSource {
 public:
  // Reads give at most `piece` bytes. `data` has to outlive the source.
  explicit MemorySource(std::span<const uint8_t> data, size_t piece = SIZE_MAX)
      : data_(data), piece_(piece) {}
  explicit MemorySource(std::string_view data)
      : MemorySource({reinterpret_cast<const uint8_t*>(data.data()), data.size()}) {}

  wherry::Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min({out.size(), data_.size(), piece_});
    if (count > 0)
      memcpy(out.data(), data_.data(), count);
    data_ = data_.subspan(count);
    return count;
  }

 private:
  std::span<const uint8_t> data_;
  size_t piece_;
};
