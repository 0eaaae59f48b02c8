#include "store/decompress.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/base/text.h"

namespace wherry::store {

namespace {

constexpr size_t kInputBytes = 64 << 10;
// Below this much output a stream may expand at any rate: a small layer of zeros is no bomb.
constexpr uint64_t kFreeExpansion = uint64_t{64} << 20;

// What was read of the input and not yet consumed.
class InputBuffer {
 public:
  explicit InputBuffer(ByteSource& source)
      : source_(source), storage_(std::make_unique<std::byte[]>(kInputBytes)) {}

  std::span<const std::byte> bytes() const { return {storage_.get() + begin_, end_ - begin_}; }
  void Consume(size_t count) { begin_ += count; }
  // All bytes ever consumed.
  uint64_t consumed() const { return before_ + begin_; }

  // Reads once; false at the end of the input. What is there stays.
  Result<bool> Fill() {
    if (begin_ > 0) {
      memmove(storage_.get(), storage_.get() + begin_, end_ - begin_);
      before_ += begin_;
      end_ -= begin_;
      begin_ = 0;
    }
    size_t count = TRY(source_.Read({storage_.get() + end_, kInputBytes - end_}));
    end_ += count;
    return count > 0;
  }

  // Reads until `count` bytes are there or the input has ended.
  Result<> Ensure(size_t count) {
    while (end_ - begin_ < count && TRY(Fill())) {
    }
    return {};
  }

  Result<size_t> ReadThrough(std::span<std::byte> out) {
    if (begin_ == end_) {
      return source_.Read(out);
    }
    size_t count = std::min(out.size(), end_ - begin_);
    memcpy(out.data(), storage_.get() + begin_, count);
    begin_ += count;
    return count;
  }

 private:
  ByteSource& source_;
  std::unique_ptr<std::byte[]> storage_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t before_ = 0;
};

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(InputBuffer input) : input_(std::move(input)) {}
  Result<size_t> Read(std::span<std::byte> out) override { return input_.ReadThrough(out); }

 private:
  InputBuffer input_;
};

// Guards what the decoders give out against decompression bombs.
class ExpansionGuard {
 public:
  explicit ExpansionGuard(uint64_t max_expansion)
      : max_expansion_(std::max<uint64_t>(max_expansion, 1)) {}

  Result<> Count(uint64_t produced, uint64_t consumed_total) {
    total_ += produced;
    if (total_ > kFreeExpansion && (total_ - kFreeExpansion) / max_expansion_ > consumed_total) {
      return Fail(Errc::kInvalid, Cat("the compressed data expands more than ", max_expansion_,
                                      " times (a decompression bomb?): ", consumed_total,
                                      " bytes became ", total_));
    }
    return {};
  }

 private:
  uint64_t max_expansion_;
  uint64_t total_ = 0;
};

class GzipSource final : public ByteSource {
 public:
  GzipSource(InputBuffer input, const Limits& limits, GzipSum sum)
      : input_(std::move(input)), guard_(limits.max_expansion), sum_(sum) {}
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  Result<> Init() {
    constexpr int kGzipOnly = 16;
    if (inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK) {
      return Fail(Errc::kNoSpace, "gzip: out of memory");
    }
    inflateValidate(&stream_, sum_ == GzipSum::kCheck ? 1 : 0);
    return {};
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    while (!ended_) {
      if (between_members_ && !TRY(NextMember())) {
        break;
      }
      size_t produced = TRY(Inflate(out));
      if (produced > 0) {
        TRY(guard_.Count(produced, input_.consumed()));
        return produced;
      }
    }
    return 0;
  }

 private:
  // False at the end of the stream: of the input, or of the zero bytes that pad it.
  Result<bool> NextMember() {
    TRY(input_.Ensure(1));
    if (input_.bytes().empty()) {
      ended_ = true;
      return false;
    }
    if (members_ > 0 && input_.bytes()[0] == std::byte{0}) {
      TRY(SkipPadding());
      ended_ = true;
      return false;
    }
    ++members_;
    between_members_ = false;
    inflateReset(&stream_);
    return true;
  }

  Result<> SkipPadding() {
    do {
      for (std::byte byte : input_.bytes()) {
        if (byte != std::byte{0}) {
          return Fail(Errc::kCorrupt, "gzip: something else follows the compressed data");
        }
      }
      input_.Consume(input_.bytes().size());
    } while (TRY(input_.Fill()));
    return {};
  }

  Result<size_t> Inflate(std::span<std::byte> out) {
    TRY(input_.Ensure(1));
    auto in = input_.bytes();
    if (in.empty()) {
      return Fail(Errc::kCorrupt, "gzip: the compressed data ends too early");
    }
    // zlib's interface is not const-correct; it does not write to its input.
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), 1 << 30));
    uInt room = stream_.avail_out;
    int code = inflate(&stream_, Z_NO_FLUSH);
    input_.Consume(in.size() - stream_.avail_in);
    if (code == Z_STREAM_END) {
      between_members_ = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return DataError();
    }
    return room - stream_.avail_out;
  }

  std::unexpected<Error> DataError() const {
    if (members_ > 1 && stream_.total_out == 0) {
      return Fail(Errc::kCorrupt, "gzip: something else follows the compressed data");
    }
    return Fail(Errc::kCorrupt,
                Cat("gzip: the compressed data is damaged", stream_.msg != nullptr ? ": " : "",
                    stream_.msg != nullptr ? stream_.msg : ""));
  }

  InputBuffer input_;
  ExpansionGuard guard_;
  const GzipSum sum_;
  z_stream stream_{};
  uint64_t members_ = 0;
  bool between_members_ = true;
  bool ended_ = false;
};

class ZstdSource final : public ByteSource {
 public:
  ZstdSource(InputBuffer input, const Limits& limits)
      : input_(std::move(input)),
        guard_(limits.max_expansion),
        max_window_(limits.max_zstd_window),
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

  Result<size_t> Read(std::span<std::byte> out) override {
    for (;;) {
      auto in = input_.bytes();
      if (in.empty() && !TRY(input_.Fill()) && !output_pending_) {
        return in_frame_ ? Fail(Errc::kCorrupt, "zstd: the compressed data ends too early")
                         : Result<size_t>(0);
      }
      size_t produced = TRY(Decode(out));
      if (produced > 0) {
        TRY(guard_.Count(produced, input_.consumed()));
        return produced;
      }
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
                                               const Limits& limits, GzipSum sum) {
  InputBuffer buffer(input);
  TRY(buffer.Ensure(kProbeBytes));
  switch (TRY(Detect(buffer.bytes(), declared))) {
    case Compression::kNone:
      return std::make_unique<PlainSource>(std::move(buffer));
    case Compression::kGzip:
      return Opened<GzipSource>(std::move(buffer), limits, sum);
    case Compression::kZstd:
      return Opened<ZstdSource>(std::move(buffer), limits);
  }
  return Fail(Errc::kInternal, "unknown compression");
}

Result<std::unique_ptr<ByteSource>> DecompressZstd(ByteSource& input, const Limits& limits) {
  InputBuffer buffer(input);
  TRY(buffer.Ensure(4));
  if (!LooksLikeZstd(buffer.bytes()))
    return Fail(Errc::kCorrupt, "zstd: the compressed data does not begin as it has to");
  return Opened<ZstdSource>(std::move(buffer), limits);
}

}  // namespace wherry::store
