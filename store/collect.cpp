// What keeps layers, and how images, layers and objects go away: record first and durably, then the
// rest. A cut in between leaves garbage that the next start removes, never an image with a part
// missing.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_resume.h"
#include "store/store_impl.h"

namespace wherry::store {

namespace {

constexpr size_t kMaxSuspects = 1 << 16;  // 2 MiB of memory
constexpr size_t kHeadsAtOnce = 1 << 18;  // 2 MiB of memory

// While an index is damaged nobody knows what it needs: objects wait until it has been repaired.
Result<> WhileReadable(Result<> removed) {
  bool unknown = !removed && (removed.error().code() == Errc::kCorrupt ||
                              removed.error().code() == Errc::kNotFound);
  return unknown ? Result<>() : std::move(removed);
}

}  // namespace

std::optional<LayerInfo> StoreImpl::Pin(const Digest& diff_id) {
  std::lock_guard lock(mutex_);
  auto layer = layers_.find(diff_id);
  if (layer == layers_.end() || broken_.contains(diff_id)) {
    return std::nullopt;
  }
  ++layer->second.pins;
  return LayerInfo{diff_id, layer->second.size_bytes};
}

void StoreImpl::Unpin(const std::set<Digest>& diff_ids) {
  std::lock_guard write_lock(write_mutex_);
  bool garbage = false;
  {
    std::lock_guard lock(mutex_);
    garbage = !suspects_.empty() || suspect_all_ || !dropped_chains_.empty();
    for (const Digest& diff_id : diff_ids) {
      LayerState& layer = layers_[diff_id];
      --layer.pins;
      garbage = garbage || (layer.pins == 0 && layer.images == 0);
    }
  }
  if (garbage) {
    CollectResult ignored;
    (void)Sweep(ignored);  // what stays is found by the next Collect or start
  }
}

void StoreImpl::Suspect(std::span<const Digest> objects) {
  std::lock_guard lock(mutex_);
  suspect_all_ = suspect_all_ || suspects_.size() + objects.size() > kMaxSuspects;
  if (suspect_all_)
    suspects_ = {};
  else
    suspects_.insert(suspects_.end(), objects.begin(), objects.end());
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
      auto image = images_.find(digest);
      if (image != images_.end() && image->second.own && !named.contains(digest) &&
          !in_use.contains(digest)) {
        result.images.push_back(digest);
      }
    }
  }
  TRY_CTX("remove images", RemoveRecords(result.images));
  std::vector<std::string> interrupted = ForgetAllInterrupted();
  auto swept = Sweep(result);
  for (const std::string& name : interrupted) {
    auto gone = ops_.RemoveTree(resume_.get(), name);
    swept = swept ? std::move(gone) : std::move(swept);
  }
  auto saved = SaveRefs();
  TRY_CTX("remove layers", std::move(swept));
  TRY(std::move(saved));
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

// Removes everything that nothing needs: layers, then metadata images, then objects.
Result<> StoreImpl::Sweep(CollectResult& result) {
  if (records_unsynced_) {
    TRY(ops_.SyncDirectory(img_.get(), kImageName));
    records_unsynced_ = false;
  }
  std::vector<Digest> unused;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, layer] : layers_) {
      if (layer.own && layer.images == 0 && layer.pins == 0) {
        unused.push_back(diff_id);
      }
    }
    for (const Digest& diff_id : unused) {
      LayerState& layer = layers_[diff_id];
      layer.own = false;
      if (!layer.factory)
        layers_.erase(diff_id);  // from here on nobody can pin it
      broken_.erase(diff_id);
    }
  }
  Result<> done;
  for (const Digest& diff_id : unused) {
    SuspectObjectsOf(diff_id);
    auto removed = RemoveLayerTree(diff_id.hex());
    done = done ? std::move(removed) : std::move(done);
  }
  TRY(std::move(done));
  TRY(RemoveImages(result));
  TRY(RemoveObjects(result));
  // Last: while an index is there that no image needs, the next start looks for unused objects.
  for (const Digest& diff_id : unused) {
    result.freed_bytes += TRY(RemoveLayerFile(Cat(diff_id.hex(), kSplitSuffix)));
    result.freed_bytes += TRY(RemoveLayerFile(Cat(diff_id.hex(), kIndexSuffix)));
    result.layers.push_back(diff_id);
  }
  return {};
}

void StoreImpl::SuspectObjectsOf(const Digest& diff_id) {
  std::vector<Digest> objects;
  auto scanned = ScanIndex(diff_id, LayerIndex::Trust::kVerify, [&](const ObjectSize& object) {
    if (objects.size() <= kMaxSuspects)
      objects.push_back(object.digest);
  });
  if (scanned)
    return Suspect(objects);
  std::lock_guard lock(mutex_);
  suspect_all_ = true;
}

Result<uint64_t> StoreImpl::RemoveLayerFile(const std::string& name) {
  struct stat info;
  bool there = fstatat(layer_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  TRY(ops_.RemoveFile(layer_.get(), name));
  return there ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

Result<> StoreImpl::RemoveImages(CollectResult& result) {
  std::set<Digest> chains;
  {
    std::lock_guard lock(mutex_);
    chains = std::exchange(dropped_chains_, {});
    for (const auto& [digest, image] : images_) {
      chains.erase(image.chain_id);
    }
  }
  for (const Digest& chain_id : chains) {
    result.freed_bytes += TRY(RemoveLayerFile(Cat(chain_id.hex(), kImageSuffix)));
  }
  return {};
}

// The suspects that no layer has. While layers are being added, whose indexes do not exist yet,
// they wait.
Result<> StoreImpl::RemoveObjects(CollectResult& result) {
  std::unique_lock ingest_lock(ingest_mutex_, std::try_to_lock);
  if (!ingest_lock) {
    return {};
  }
  std::vector<Digest> suspects;
  bool all = false;
  {
    std::lock_guard lock(mutex_);
    suspects = std::exchange(suspects_, {});
    all = std::exchange(suspect_all_, false);
  }
  if (all) {
    auto removed = RemoveUnusedObjects(result);
    if (!removed) {
      std::lock_guard lock(mutex_);
      suspect_all_ = true;
    }
    return WhileReadable(std::move(removed));
  }
  if (suspects.empty()) {
    return {};
  }
  std::sort(suspects.begin(), suspects.end());
  suspects.erase(std::unique(suspects.begin(), suspects.end()), suspects.end());
  std::vector<bool> needed(suspects.size());
  auto marked =
      ForEachObject(Origin::kHere, LayerIndex::Trust::kVerify, [&](const ObjectSize& object) {
        auto found = std::lower_bound(suspects.begin(), suspects.end(), object.digest);
        if (found != suspects.end() && *found == object.digest) {
          needed[static_cast<size_t>(found - suspects.begin())] = true;
        }
      });
  if (!marked) {
    Suspect(suspects);
    return WhileReadable(std::move(marked));
  }
  for (size_t i = 0; i < suspects.size(); ++i) {
    if (!needed[i])
      TRY(RemoveObject(suspects[i], result));
  }
  return {};
}

// What stands in for a damaged one of the factory store is needed by an image there.
Result<> StoreImpl::RemoveObject(const Digest& digest, CollectResult& result) {
  if (!objects_->IsDistrusted(digest))
    result.freed_bytes += TRY(objects_->Remove(digest));
  return {};
}

// Calls `use` for the objects of all layers, interrupted ones too; an index that cannot be read
// ends it with its error.
Result<> StoreImpl::ForEachObject(Origin origin, LayerIndex::Trust trust,
                                  const LayerIndex::UseObject& use) const {
  std::vector<Digest> layers;
  std::set<Digest> interrupted;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, layer] : layers_) {
      if (layer.own || origin == Origin::kAnywhere)
        layers.push_back(diff_id);
    }
    interrupted = interrupted_;
  }
  for (const Digest& diff_id : layers)
    TRY(ScanIndex(diff_id, trust, use));
  for (const Digest& diff_id : interrupted) {
    for (const ObjectSize& object : LoggedObjects(resume_.get(), diff_id))
      use(object);
  }
  return {};
}

// After a stop in the middle of something, and where too many to remember may have become garbage:
// whatever is in obj/ and no layer has. An object that is taken for another stays.
Result<> StoreImpl::RemoveUnusedObjects(CollectResult& result) {
  uint64_t total = 0;
  TRY(ForEachObject(Origin::kHere, LayerIndex::Trust::kVerify,
                    [&](const ObjectSize&) { ++total; }));
  auto ranges = DigestRanges(total, kHeadsAtOnce);
  std::vector<uint64_t> needed;
  needed.reserve(RangeCapacity(total, ranges.size()));
  for (const DigestRange& range : ranges) {
    needed.clear();
    TRY(ForEachObject(Origin::kHere, LayerIndex::Trust::kVerified, [&](const ObjectSize& object) {
      if (range.Has(object.digest))
        needed.push_back(DigestHead(object.digest));
    }));
    std::sort(needed.begin(), needed.end());
    TRY(RemoveOthers(range, needed, result));
  }
  return {};
}

// `needed` is sorted.
Result<> StoreImpl::RemoveOthers(const DigestRange& range, const std::vector<uint64_t>& needed,
                                 CollectResult& result) {
  auto remove = [&](const Digest& digest) -> Result<> {
    bool is_needed = std::binary_search(needed.begin(), needed.end(), DigestHead(digest));
    return is_needed ? Result<>() : RemoveObject(digest, result);
  };
  return objects_->ForEach(range, Objects::Strangers::kRemove, remove);
}

// A name in tree/ always stands for the complete layer, so it goes first and as a whole.
Result<> StoreImpl::RemoveLayerTree(const std::string& name) {
  std::string garbage = Cat("removed-", next_garbage_++);
  auto renamed = ops_.RenameNew(tree_.get(), name, txn_.get(), garbage);
  if (!renamed && renamed.error().code() == Errc::kNotFound) {
    return {};  // this tier has none
  }
  if (!TRY(std::move(renamed))) {
    return Fail(Errc::kInternal, Cat(kTransactionName, "/", garbage, " is in the way"));
  }
  return ops_.RemoveTree(txn_.get(), garbage);
}

}  // namespace wherry::store
