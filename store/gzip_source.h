// gzip (RFC 1952), any number of members, by zlib. Internal to the store.
#pragma once

#include <zlib.h>

#include <cstdint>

#include "core/base/byte_source.h"
#include "store/decompress.h"
#include "store/input_buffer.h"

namespace wherry::store {

class GzipSource final : public ByteSource {
 public:
  // `points` may be null.
  GzipSource(InputBuffer input, const Limits& limits, GzipSum sum, PointSink* points)
      : input_(std::move(input)), guard_(limits.max_expansion), sum_(sum), points_(points) {}
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  Result<> Init();
  // Instead, in the middle of a member. `input` begins at the point.
  Result<> InitAt(const ResumePoint& point);
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  Result<bool> NextMember();
  Result<> EndRawMember();
  Result<> SkipPadding();
  Result<size_t> Inflate(std::span<std::byte> out);
  void OfferPoint(uint8_t last);
  std::unexpected<Error> DataError() const;

  InputBuffer input_;
  ExpansionGuard guard_;
  const GzipSum sum_;
  PointSink* const points_;
  z_stream stream_{};
  uint64_t members_ = 0;
  bool raw_ = false;  // this member's header was read before the point
  bool between_members_ = true;
  bool ended_ = false;
  std::optional<ResumePoint> point_;  // after what is being read
};

}  // namespace wherry::store
