// What keeps layers, and how images and layers go away: record first and durably, then the trees. A
// cut in between leaves garbage that the next start removes, never an image with a part missing.
#include <fcntl.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/store_impl.h"

namespace wherry::store {

std::optional<LayerInfo> StoreImpl::Pin(const Digest& diff_id) {
  std::lock_guard lock(mutex_);
  auto layer = layers_.find(diff_id);
  if (layer == layers_.end()) {
    return std::nullopt;
  }
  ++layer->second.pins;
  return LayerInfo{diff_id, layer->second.size_bytes};
}

void StoreImpl::Unpin(const std::set<Digest>& diff_ids) {
  if (diff_ids.empty()) {
    return;
  }
  std::lock_guard write_lock(write_mutex_);
  bool unused = false;
  {
    std::lock_guard lock(mutex_);
    for (const Digest& diff_id : diff_ids) {
      LayerState& layer = layers_[diff_id];
      --layer.pins;
      unused = unused || (layer.pins == 0 && layer.images == 0);
    }
  }
  if (unused) {
    CollectResult ignored;
    (void)Sweep(ignored);  // what stays is found by the next Collect or start
  }
}

Result<CollectResult> StoreImpl::Collect(const std::set<Digest>& candidates,
                                         const std::set<Digest>& in_use) {
  std::lock_guard write_lock(write_mutex_);
  CollectResult result;
  {
    std::lock_guard lock(mutex_);
    std::set<Digest> named;
    for (const auto& [name, digest] : refs_) {
      named.insert(digest);
    }
    for (const Digest& digest : candidates) {
      if (images_.contains(digest) && !named.contains(digest) && !in_use.contains(digest)) {
        result.images.push_back(digest);
      }
    }
  }
  TRY_CTX("remove images", RemoveRecords(result.images));
  TRY_CTX("remove layers", Sweep(result));
  return result;
}

Result<> StoreImpl::RemoveRecords(const std::vector<Digest>& digests) {
  for (const Digest& digest : digests) {
    TRY(ops_.RemoveFile(img_.get(), digest.hex()));
    records_unsynced_ = true;
    std::lock_guard lock(mutex_);
    RemoveImageLocked(digest);
  }
  return {};
}

// Removes every layer that nothing needs.
Result<> StoreImpl::Sweep(CollectResult& result) {
  if (records_unsynced_) {
    TRY(ops_.SyncDirectory(img_.get(), kImageName));
    records_unsynced_ = false;
  }
  std::vector<LayerInfo> unused;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, layer] : layers_) {
      if (layer.images == 0 && layer.pins == 0) {
        unused.push_back({diff_id, layer.size_bytes});
      }
    }
    for (const LayerInfo& layer : unused) {
      layers_.erase(layer.diff_id);  // from here on nobody can pin it
    }
  }
  Result<> done;
  for (const LayerInfo& layer : unused) {
    auto removed = RemoveLayerTree(layer.diff_id.hex());
    if (removed) {
      result.layers.push_back(layer.diff_id);
      result.freed_bytes += layer.size_bytes;
    } else if (done) {
      done = std::move(removed);
    }
  }
  return done;
}

// A name in tree/ always stands for the complete layer, so it goes first and as a whole.
Result<> StoreImpl::RemoveLayerTree(const std::string& name) {
  std::string garbage = Cat("removed-", next_garbage_++);
  if (!TRY(ops_.RenameNew(tree_.get(), name, txn_.get(), garbage))) {
    return Fail(Errc::kInternal, Cat(kTransactionName, "/", garbage, " is in the way"));
  }
  return RemoveTreeAt(txn_.get(), garbage);
}

}  // namespace wherry::store
