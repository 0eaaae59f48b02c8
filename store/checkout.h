// A layer as a plain directory, for kernels without the means for metadata images: overlayfs uses
// it as it is. Files are hard links to the store's objects where all metadata agree; an object
// that no directory uses yet takes on that of its first user. Needs root. Nothing is synced.
#pragma once

#include "core/base/result.h"
#include "store/layer_tree.h"
#include "store/objects.h"

namespace wherry::store {

// Fills the empty directory `root`. REQUIRES: the tree is sealed, nobody else can enter the
// directory, and no other CheckOut of the same store runs. kNotFound: an object is missing;
// kNoSpace and other system errors. After an error the directory is of no use.
Result<> CheckOut(const LayerTree& tree, const Objects& objects, int root);

}  // namespace wherry::store
