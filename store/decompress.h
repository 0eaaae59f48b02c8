// Layer decompression as a ByteSource: gzip (RFC 1952, any number of members), zstd (RFC 8878, any
// number of frames, skippable ones included) and none. One pass, bounded memory: 64 KiB of input,
// 40 KiB of inflate state or the zstd window. Not thread-safe; blocks as its input does.
#pragma once

#include <cstdint>
#include <memory>

#include "core/base/byte_source.h"
#include "store/store.h"

namespace wherry::store {

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
enum class GzipSum : uint8_t { kCheck, kIgnore };
Result<std::unique_ptr<ByteSource>> Decompress(ByteSource& input, Compression declared,
                                               const Limits& limits, GzipSum sum = GzipSum::kCheck);

// The same for what may be zstd alone.
Result<std::unique_ptr<ByteSource>> DecompressZstd(ByteSource& input, const Limits& limits);

// "gzip", "zstd", "uncompressed".
std::string_view CompressionName(Compression compression);

}  // namespace wherry::store
