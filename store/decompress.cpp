#include "store/decompress.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/base/text.h"
#include "store/gzip_source.h"
#include "store/input_buffer.h"

namespace wherry::store {

namespace {

class PlainSource final : public ByteSource {
 public:
  PlainSource(InputBuffer input, PointSink* points) : input_(std::move(input)), points_(points) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(input_.ReadThrough(out));
    uint64_t at = input_.consumed();
    if (count > 0 && points_ != nullptr && points_->Wants(at))
      points_->Take({.compression = Compression::kNone, .input = at, .output = at});
    return count;
  }

 private:
  InputBuffer input_;
  PointSink* const points_;
};

class ZstdSource final : public ByteSource {
 public:
  ZstdSource(InputBuffer input, const Limits& limits, PointSink* points)
      : input_(std::move(input)),
        guard_(limits.max_expansion),
        max_window_(limits.max_zstd_window),
        points_(points),
        context_(ZSTD_createDCtx()) {}
  ~ZstdSource() override { ZSTD_freeDCtx(context_); }
  ZstdSource(const ZstdSource&) = delete;
  ZstdSource& operator=(const ZstdSource&) = delete;

  Result<> Init() {
    if (context_ == nullptr) {
      return Fail(Errc::kNoSpace, "zstd: out of memory");
    }
    constexpr int kSmallestLog = 10;
    int log = std::max(kSmallestLog, static_cast<int>(std::bit_width(max_window_)) - 1);
    size_t code = ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, log);
    if (ZSTD_isError(code) != 0) {
      return Fail(Errc::kInvalid, Cat("zstd: window limit ", max_window_, " is not possible"));
    }
    return {};
  }

  // Between two frames.
  Result<> InitAt(const ResumePoint& point) {
    any_frame_ = true;
    guard_.Begin(point.output);
    return Init();
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    for (;;) {
      auto in = input_.bytes();
      if (in.empty() && !TRY(input_.Fill()) && !output_pending_) {
        return in_frame_ ? Fail(Errc::kCorrupt, "zstd: the compressed data ends too early")
                         : Result<size_t>(0);
      }
      size_t produced = TRY(Decode(out));
      if (produced > 0)
        TRY(guard_.Count(produced, input_.consumed()));
      uint64_t at = input_.consumed();
      if (!in_frame_ && points_ != nullptr && points_->Wants(at))
        points_->Take({.compression = Compression::kZstd, .input = at, .output = guard_.total()});
      if (produced > 0)
        return produced;
    }
  }

 private:
  Result<size_t> Decode(std::span<std::byte> out) {
    auto in = input_.bytes();
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    ZSTD_outBuffer target{out.data(), out.size(), 0};
    size_t code = ZSTD_decompressStream(context_, &target, &source);
    input_.Consume(source.pos);
    if (ZSTD_isError(code) != 0) {
      return DecodeError(code);
    }
    any_frame_ = any_frame_ || code == 0;
    in_frame_ = code != 0;
    // A full output buffer may hide decoded bytes that need no further input.
    output_pending_ = in_frame_ && target.pos == target.size;
    return target.pos;
  }

  std::unexpected<Error> DecodeError(size_t code) const {
    ZSTD_ErrorCode kind = ZSTD_getErrorCode(code);
    if (kind == ZSTD_error_frameParameter_windowTooLarge) {
      return Fail(
          Errc::kUnsupported,
          Cat("zstd: decompression needs a window above the limit of ", max_window_,
              " bytes; it has to be compressed with a smaller window (zstd level 19 or below, "
              "no --long)"));
    }
    if (kind == ZSTD_error_prefix_unknown && any_frame_ && !in_frame_) {
      return Fail(Errc::kCorrupt, "zstd: something else follows the compressed data");
    }
    return Fail(Errc::kCorrupt,
                Cat("zstd: the compressed data is damaged: ", ZSTD_getErrorName(code)));
  }

  InputBuffer input_;
  ExpansionGuard guard_;
  uint64_t max_window_;
  PointSink* const points_;
  ZSTD_DCtx* context_;
  bool in_frame_ = false;
  bool any_frame_ = false;
  bool output_pending_ = false;
};

constexpr size_t kTarMagicAt = 257;
constexpr size_t kProbeBytes = 512;

bool StartsWith(std::span<const std::byte> bytes, std::initializer_list<uint8_t> magic) {
  return bytes.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin(),
                    [](uint8_t a, std::byte b) { return std::byte{a} == b; });
}

// A tar header block, or the zero block that ends an empty archive.
bool LooksLikeTar(std::span<const std::byte> bytes) {
  if (bytes.size() < kProbeBytes) {
    return false;
  }
  return memcmp(bytes.data() + kTarMagicAt, "ustar", 5) == 0 ||
         std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool LooksLikeZstd(std::span<const std::byte> bytes) {
  // A frame, or one of the sixteen magics of skippable frames.
  return StartsWith(bytes, {0x28, 0xb5, 0x2f, 0xfd}) ||
         (bytes.size() >= 4 && (bytes[0] & std::byte{0xf0}) == std::byte{0x50} &&
          StartsWith(bytes.subspan(1), {0x2a, 0x4d, 0x18}));
}

Result<Compression> Detect(std::span<const std::byte> bytes, Compression declared) {
  if (LooksLikeTar(bytes)) {
    return Compression::kNone;
  }
  if (StartsWith(bytes, {0x1f, 0x8b, 0x08})) {
    return Compression::kGzip;
  }
  if (LooksLikeZstd(bytes)) {
    return Compression::kZstd;
  }
  if (declared == Compression::kNone) {
    return Compression::kNone;  // V7 archives have no magic
  }
  return Fail(Errc::kInvalid, bytes.empty()
                                  ? Cat("the content is empty, but ", CompressionName(declared),
                                        " data was announced")
                                  : Cat("the content is not ", CompressionName(declared),
                                        " data as announced, nor any other known layer format"));
}

template <class Source, class... Options>
Result<std::unique_ptr<ByteSource>> Opened(InputBuffer input, const Limits& limits,
                                           Options... options) {
  auto source = std::make_unique<Source>(std::move(input), limits, options...);
  TRY(source->Init());
  return source;
}

}  // namespace

std::string_view CompressionName(Compression compression) {
  constexpr std::array<std::string_view, 3> kNames = {"uncompressed", "gzip", "zstd"};
  return kNames[static_cast<size_t>(compression)];
}

Result<std::unique_ptr<ByteSource>> Decompress(ByteSource& input, Compression declared,
                                               const Limits& limits, GzipSum sum,
                                               PointSink* points) {
  InputBuffer buffer(input);
  TRY(buffer.Ensure(kProbeBytes));
  switch (TRY(Detect(buffer.bytes(), declared))) {
    case Compression::kNone:
      return std::make_unique<PlainSource>(std::move(buffer), points);
    case Compression::kGzip:
      return Opened<GzipSource>(std::move(buffer), limits, sum, points);
    case Compression::kZstd:
      return Opened<ZstdSource>(std::move(buffer), limits, points);
  }
  return Fail(Errc::kInternal, "unknown compression");
}

Result<std::unique_ptr<ByteSource>> DecompressFrom(ByteSource& input, const ResumePoint& point,
                                                   const Limits& limits, PointSink* points) {
  InputBuffer buffer(input, point.input);
  switch (point.compression) {
    case Compression::kNone:
      return std::make_unique<PlainSource>(std::move(buffer), points);
    case Compression::kGzip: {
      auto gzip = std::make_unique<GzipSource>(std::move(buffer), limits, GzipSum::kIgnore, points);
      TRY(gzip->InitAt(point));
      return gzip;
    }
    case Compression::kZstd: {
      auto zstd = std::make_unique<ZstdSource>(std::move(buffer), limits, points);
      TRY(zstd->InitAt(point));
      return zstd;
    }
  }
  return Fail(Errc::kCorrupt, "the saved state is of an unknown compression");
}

Result<std::unique_ptr<ByteSource>> DecompressZstd(ByteSource& input, const Limits& limits) {
  InputBuffer buffer(input);
  TRY(buffer.Ensure(4));
  if (!LooksLikeZstd(buffer.bytes()))
    return Fail(Errc::kCorrupt, "zstd: the compressed data does not begin as it has to");
  return Opened<ZstdSource>(std::move(buffer), limits, nullptr);
}

}  // namespace wherry::store
