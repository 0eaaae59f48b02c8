// The pull pipeline of one layer, on the calling thread: blob -> digest of the blob ->
// decompression -> diffID -> tar -> files. Memory: about 64 KiB of input, 128 KiB of archive, 32
// KiB of gzip window or the zstd window.
#pragma once

#include <string>

#include "core/base/result.h"
#include "store/store.h"

namespace wherry::store {

// Unpacks into the new directory `name` below the open directory `parent`. Success means that
// digest, size and diffID match and that all content has been given to the kernel, not that it is
// on the disk. On an error the directory is removed again. Errors as Transaction::AddLayer;
// messages begin with the layer and, where one is to blame, the entry.
Result<LayerInfo> UnpackLayer(int parent, const std::string& name,
                              const Transaction::LayerSource& layer, const Limits& limits,
                              IngestProgress& progress);

}  // namespace wherry::store
