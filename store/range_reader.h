// Pieces of a blob read by few requests: what lies close together is asked for at once, and what is
// between is read over. One stream is open at a time and is read to its end where possible, so that
// its connection serves the next request. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "store/store.h"

namespace wherry::store {

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Sorted ranges without overlap -> what to ask for: gaps are filled, the smallest first, while all
// of them together stay small against what is wanted.
std::vector<ByteRange> Coalesce(std::span<const ByteRange> wanted);

class RangeReader final : public ByteSource {
 public:
  // `ranges` must outlive this.
  explicit RangeReader(BlobRanges& ranges) : ranges_(ranges) {}

  // From now on requests are made for these, as Coalesce gives them. A stream that is open stays.
  void Plan(std::vector<ByteRange> requests) { requests_ = std::move(requests); }

  // The next reads give the bytes of `range`. What is ahead in the request that is open is read on
  // to; what no request has is asked for alone.
  Result<> Seek(ByteRange range);
  // 0 at the end of the range.
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  Result<> Open(ByteRange request);
  Result<> SkipTo(uint64_t position);
  // Counts what was read, and ends the stream when it is done.
  Result<> Advance(size_t count);

  BlobRanges& ranges_;
  std::vector<ByteRange> requests_;  // sorted
  std::unique_ptr<ByteSource> stream_;
  uint64_t position_ = 0;  // of stream_
  uint64_t stream_end_ = 0;
  uint64_t range_end_ = 0;
};

}  // namespace wherry::store
