// The directory of one layer whose taking in can be gone on with: resume/<diffID>/<n>/, one <n> for
// each attempt. Internal to the store.
#pragma once

#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/checkpoint.h"
#include "store/disk_ops.h"
#include "store/objects.h"
#include "store/resumed_source.h"

namespace wherry::store {

class LayerResume {
 public:
  // `parent`: the directory resume/.
  static Result<LayerResume> Open(int parent, const LayerIdentity& layer, DiskOps& ops);

  // What attempts before have left, the best first. What cannot be used is removed. `damaged` tells
  // why when there was something and nothing of it is of use.
  std::vector<SavedLayer> Find(std::optional<Error>& damaged);
  // The directory of a new attempt.
  Result<UniqueFd> Begin();
  // Removes all attempts but the last one.
  void RemoveOlder();

 private:
  LayerResume(UniqueFd dir, const LayerIdentity& layer, DiskOps& ops)
      : dir_(std::move(dir)), layer_(layer), ops_(&ops) {}
  std::vector<uint64_t> Attempts() const;  // the latest first

  UniqueFd dir_;
  LayerIdentity layer_;
  DiskOps* ops_;
  uint64_t next_ = 1;
};

// Of all attempts; those that are twice in the logs, twice. What cannot be read is left out.
std::vector<ObjectSize> LoggedObjects(int parent, const Digest& diff_id);

}  // namespace wherry::store
