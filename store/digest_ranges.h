// For work on all objects of a store in parts, so that memory does not grow with their number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/digest.h"

namespace wherry::store {

// The digests whose first 16 bits are from `first` to before `end`.
struct DigestRange {
  static constexpr uint32_t kAll = 1 << 16;

  uint32_t first = 0;
  uint32_t end = kAll;

  bool Has(const Digest& digest) const {
    uint32_t bits = static_cast<uint32_t>(digest.bytes()[0]) << 8 | digest.bytes()[1];
    return bits >= first && bits < end;
  }
};

// All digests in ranges that have about `at_once` of `total` each. Digests are even.
inline std::vector<DigestRange> DigestRanges(uint64_t total, size_t at_once) {
  auto count =
      static_cast<uint32_t>(std::clamp<uint64_t>(total / at_once + 1, 1, DigestRange::kAll));
  std::vector<DigestRange> ranges;
  for (uint32_t i = 0; i < count; ++i) {
    auto bound = [count](uint64_t n) {
      return static_cast<uint32_t>(n * DigestRange::kAll / count);
    };
    ranges.push_back({bound(i), bound(i + 1)});
  }
  return ranges;
}

// What to reserve for the digests of one of these ranges.
inline size_t RangeCapacity(uint64_t total, size_t ranges) {
  return static_cast<size_t>(total / ranges + total / ranges / 16 + 1024);
}

// Eight bytes that tell digests apart where a mistake costs nothing but a little room.
inline uint64_t DigestHead(const Digest& digest) {
  uint64_t head = 0;
  for (size_t i = 0; i < sizeof head; ++i)
    head = head << 8 | digest.bytes()[i];
  return head;
}

}  // namespace wherry::store
