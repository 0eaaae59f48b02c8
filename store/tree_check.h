// A directory of tier B against the index of its layer: what in it is not as CheckOut made it, and
// putting that right name by name, so that containers that use the directory keep everything else.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"
#include "store/layer_tree.h"
#include "store/objects.h"

namespace wherry::store {

enum class TreeCheck : uint8_t {
  kMetadata,  // names, types, owners, modes, times, sizes, attributes
  kContent,   // also the content of files that are no links to objects
};

struct TreeFault {
  std::string path;  // below the directory; empty: the directory itself
  std::string what;  // "is missing", ...
};

// At most `most` faults, in the order of the index. Links to objects are as good as the objects.
// REQUIRES: the tree is sealed. Errors of the system are faults too.
std::vector<TreeFault> CheckTree(const LayerTree& tree, const Objects& objects, int root,
                                 TreeCheck depth, size_t most);

// Replaces what `faults` names below `root` by what `fresh` has there, which is taken out of it.
Result<> MendTree(const std::vector<TreeFault>& faults, int root, int fresh);

}  // namespace wherry::store
