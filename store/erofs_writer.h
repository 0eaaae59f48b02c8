// Writes the metadata image of a layer: an uncompressed EROFS (Documentation/filesystems/erofs.rst)
// of everything but the content of files, which overlayfs finds in the store's objects: each has
// trusted.overlay.metacopy and a redirect to "/<2 hex>/<62 hex>" below a data-only layer. Mountable
// since Linux 5.15. The same tree gives the same bytes.
#pragma once

#include <cstdint>

#include "core/base/result.h"
#include "store/layer_tree.h"

namespace wherry::store {

struct ErofsStats {
  uint64_t size_bytes = 0;
  uint64_t inodes = 0;
};

// Writes from the current position of `fd` on, in order and without sync. REQUIRES: the tree is
// sealed. kUnsupported: more than 64 GiB of metadata; errors of write.
Result<ErofsStats> WriteErofs(const LayerTree& tree, int fd);

// Owner and mode of the root directory of an image that WriteErofs has written.
struct ErofsRoot {
  uint32_t mode = 0;  // 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
};
// kCorrupt when it is no such image.
Result<ErofsRoot> ReadErofsRoot(int fd);

}  // namespace wherry::store
