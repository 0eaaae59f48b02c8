// Deltas between layers in the tar-diff format, version 1
// (https://github.com/containers/tar-diff, file-format.md): "tardf1\n\0", then one zstd stream of
// operations, each a byte, a size as LEB128, and for some of them that many bytes. Applying one to
// the files of the old layer gives the uncompressed archive of the new layer, bit for bit; the
// reader has to verify that by the diffID.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "store/layer_files.h"
#include "store/store.h"

namespace wherry::store {

inline constexpr std::string_view kTarDeltaMagic{"tardf1\n\0", 8};

enum class DeltaOp : uint8_t {
  kData = 0,     // bytes of the archive
  kOpen = 1,     // the path of the file that the following ones read, from its beginning
  kCopy = 2,     // so many bytes of the file
  kAddData = 3,  // bytes to be added, each by itself, to as many bytes of the file
  kSeek = 4,     // where in the file to go on
};

// Memory: 64 KiB of compressed and 64 KiB of inflated operations, the zstd window, one open file.
class TarDeltaSource final : public ByteSource {
 public:
  // `delta` must outlive this.
  TarDeltaSource(ByteSource& delta, std::unique_ptr<LayerFiles> files, const Limits& limits);

  // kCorrupt: damaged or truncated; kInvalid: no such format, an unknown operation, or one that
  // reads where the old layer has nothing; kUnsupported: a zstd window above the limit.
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  Result<> Begin();
  Result<bool> NextOp();
  Result<> OpenFile(uint64_t path_bytes);
  Result<bool> Fill();
  Result<uint8_t> Byte();
  Result<uint64_t> Number();
  // At least one byte, at most as many as fit.
  Result<size_t> Take(std::span<std::byte> out);
  Result<> AddFile(std::span<std::byte> bytes);

  ByteSource& delta_;
  std::unique_ptr<LayerFiles> files_;
  const Limits limits_;
  std::unique_ptr<ByteSource> ops_;  // inflated; absent before the first read
  std::vector<std::byte> buffer_;    // of ops_
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<std::byte> addend_;  // for kAddData

  DeltaOp op_ = DeltaOp::kData;
  uint64_t left_ = 0;  // of the archive, by the current operation
  LayerFile file_;
  bool file_open_ = false;
  uint64_t position_ = 0;  // in the file
  uint64_t opened_ = 0;    // files so far
};

}  // namespace wherry::store
