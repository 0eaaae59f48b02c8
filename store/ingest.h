// The pull pipeline of one layer: blob -> digest of the blob -> decompression | -> diffID | -> tar
// -> objects, on three threads when the layer is compressed, the last of them the caller's. Memory:
// about 64 KiB of input, 512 KiB between the threads, 128 KiB of archive, 32 KiB of gzip window or
// the zstd window, 256 KiB of a file, 150 bytes for each entry, and the small files it keeps.
#pragma once

#include <cstddef>
#include <vector>

#include "core/base/result.h"
#include "store/archive_split.h"
#include "store/layer_index.h"
#include "store/layer_recorder.h"
#include "store/layer_tree.h"
#include "store/objects.h"
#include "store/resumed_source.h"
#include "store/store.h"
#include "store/toc.h"

namespace wherry::store {

// Files up to this size are hashed before anything of them is written.
inline constexpr size_t kBufferedBytes = size_t{256} << 10;

struct IngestedLayer {
  Digest diff_id;
  LayerTree tree;                   // sealed
  std::vector<ObjectSize> objects;  // in the order of the archive
};

// Where a layer goes.
struct IngestTarget {
  ObjectWriter& objects;
  SplitWriter& split;                    // finished on success
  size_t inline_bytes = 0;               // files up to this size are kept in the tree,
  size_t max_inlined = size_t{1} << 20;  // the first of them up to this sum
  const Toc* toc = nullptr;              // tells beforehand what large files contain
};

// How a layer is gone on with, and made such that it can be.
struct IngestResume {
  LayerRecorder& recorder;
  const SavedLayer* saved = nullptr;  // null: from the start
  const Objects* objects = nullptr;
  bool replayed = false;  // set: what was saved was what it had to be, up to the point
};

// Success means that digest, size and diffID match and that all content has been given to the
// kernel, not that it is on the disk. After an error the objects that were added stay. Errors as
// Transaction::AddLayer; messages begin with the layer and, where one is to blame, the entry.
Result<IngestedLayer> IngestLayer(const Transaction::LayerSource& layer, const Limits& limits,
                                  const IngestTarget& target, IngestProgress& progress,
                                  IngestResume* resume = nullptr);

}  // namespace wherry::store
