// Makes deltas between layers in the format of store/tar_delta.h. Only in builds for a build host:
// zstd's compressor would take a fifth of the space of a whole program for devices.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/layer_files.h"

namespace wherry::store {

#ifdef WHERRY_WRITES_DELTAS
inline constexpr bool kWritesDeltas = true;
#else
inline constexpr bool kWritesDeltas = false;
#endif
// kUnsupported in the builds that cannot.
Result<> CanWriteDeltas();

// The files of the old archive that a delta may refer to: regular, not empty, not sparse, and there
// once. Not thread-safe.
class ArchiveFiles final : public LayerFiles {
 public:
  struct File {
    uint64_t offset = 0;  // in the file of contents
    uint64_t size = 0;
  };
  using Entry = std::pair<const std::string, File>;

  // Reads `archive` (uncompressed) to its end and keeps contents in the empty file `contents`.
  static Result<ArchiveFiles> Read(ByteSource& archive, UniqueFd contents);

  Result<LayerFile> Open(std::string_view path) override;
  // The best base for a new file, null without one: of the same content; else of the same path;
  // else of the same name up to the first dot, and a similar size.
  const Entry* FindSame(const Digest& content, uint64_t size) const;
  const Entry* FindSimilar(const std::string& path, uint64_t size) const;
  Result<std::string> Content(const File& file) const;

 private:
  explicit ArchiveFiles(UniqueFd contents) : contents_(std::move(contents)) {}
  Result<> Keep(const std::string& path, class TarReader& reader);

  UniqueFd contents_;
  uint64_t end_ = 0;
  std::map<std::string, File> files_;
  std::map<Digest, std::string> by_content_;
  std::multimap<std::string, std::string> by_stem_;
};

using DeltaSink = std::move_only_function<Result<>(std::span<const std::byte>)>;

// The delta that makes `archive` (uncompressed, read to its end) of `old`. Errors as
// CanWriteDeltas, and those of `archive` and `sink`. Memory: a file and its base, six times the
// base, some 100 MiB for zstd.
Result<> WriteTarDelta(ByteSource& archive, const ArchiveFiles& old, DeltaSink sink);

}  // namespace wherry::store
