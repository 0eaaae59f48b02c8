// Layer decompression as a ByteSource: gzip (RFC 1952, any number of members), zstd (RFC 8878, any
// number of frames, skippable ones included) and none. One pass, bounded memory: 64 KiB of input,
// 40 KiB of inflate state or the zstd window. Not thread-safe; blocks as its input does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/byte_source.h"
#include "store/store.h"

namespace wherry::store {

// A place in a stream from which it can be decompressed without what is before it: in gzip between
// two blocks, in zstd between two frames, anywhere in what is not compressed.
struct ResumePoint {
  Compression compression = Compression::kNone;
  uint64_t input = 0;       // compressed bytes before it
  uint64_t output = 0;      // that they became
  uint8_t bits = 0;         // gzip: so many bits of the byte before it come after it
  uint8_t bits_value = 0;   // and are these
  std::string window = {};  // gzip: the last 32 KiB of output
};

class PointSink {
 public:
  virtual ~PointSink() = default;
  // Asked at each place; making a point costs a copy of the window.
  virtual bool Wants(uint64_t input) = 0;
  // No byte of the output after the point has been given out.
  virtual void Take(ResumePoint point) = 0;
};

// Opens the stream in `input`, which must outlive the result. The first bytes decide about the
// format: a known magic wins over `declared`, as in Docker, since digest and diffID settle identity
// anyway. kInvalid when the content is neither what was declared nor anything known.
//
// Errors of the result's Read: kCorrupt (damaged, truncated, or followed by something that is no
// further member or frame; zero bytes after a gzip member are padding), kUnsupported (zstd window
// above limits.max_zstd_window), kInvalid (expands beyond limits.max_expansion), those of `input`.
//
// GzipSum::kIgnore: for content that is compared with a digest anyway; the CRC-32 of gzip members
// is not computed then.
//
// `points` is told where the stream could be gone on with, during Read; may be null.
enum class GzipSum : uint8_t { kCheck, kIgnore };
Result<std::unique_ptr<ByteSource>> Decompress(ByteSource& input, Compression declared,
                                               const Limits& limits, GzipSum sum = GzipSum::kCheck,
                                               PointSink* points = nullptr);

// Goes on at `point`, where `input` begins. kCorrupt when it is none; that it belongs to this
// stream only the digest of what comes out shows. CRC-32s are not checked.
Result<std::unique_ptr<ByteSource>> DecompressFrom(ByteSource& input, const ResumePoint& point,
                                                   const Limits& limits,
                                                   PointSink* points = nullptr);

// The same for what may be zstd alone.
Result<std::unique_ptr<ByteSource>> DecompressZstd(ByteSource& input, const Limits& limits);

// "gzip", "zstd", "uncompressed".
std::string_view CompressionName(Compression compression);

}  // namespace wherry::store
