// Where the taking in of a layer can be gone on with after a restart, as it is kept in
// resume/<diffID>/<n>/checkpoint.<slot> (docs/store.md, "Interrupted pulls"). It need not be
// believed: what it leads to is compared with digests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/decompress.h"
#include "store/hashing_source.h"

namespace wherry::store {

// Which layer it is about.
struct LayerIdentity {
  Digest diff_id;
  Digest blob;
  uint64_t blob_size = 0;
  auto operator<=>(const LayerIdentity&) const = default;
};

struct Checkpoint {
  LayerIdentity layer;
  ResumePoint point;          // in the blob
  HashingSource::Saved blob;  // of the blob, at or before the point
  Digest prefix;              // of the first point.output bytes of the archive
  uint64_t split_bytes = 0;   // of the archive, that headers and objects have
  uint64_t objects = 0;       // their number
  uint64_t file_bytes = 0;    // of the archive, after those: the beginning of a file
  Digest twin;                // that has it; none: the file kPartName
};

inline constexpr size_t kMaxCheckpointBytes = size_t{64} << 10;

std::string EncodeCheckpoint(const Checkpoint& checkpoint);
// kCorrupt: damaged, cut short, of another version or of another layer.
Result<Checkpoint> DecodeCheckpoint(std::string_view bytes, const LayerIdentity& layer);

}  // namespace wherry::store
