// The commit protocol. Order is everything here (docs/store.md, "Commit"):
//   write layers below txn/ -> syncfs -> rename them into tree/ -> fsync tree/ -> record (fsync,
//   rename, fsync) -> refs (same).
#include "store/transaction.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "store/unpack.h"

namespace wherry::store {

namespace {

bool IsPlainToken(std::string_view text) {
  constexpr size_t kMaxMediaType = 255;
  return !text.empty() && text.size() <= kMaxMediaType &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<std::unique_ptr<Transaction>> StoreImpl::Begin() {
  std::string name;
  {
    std::lock_guard lock(mutex_);
    name = Cat(next_transaction_++);
  }
  // A descriptor of its own: the errors of write-back are reported once per open file.
  UniqueFd sync = TRY(OpenAt(dir_.get(), ".", O_RDONLY | O_DIRECTORY));
  if (mkdirat(txn_.get(), name.c_str(), 0700) != 0) {
    return FailSys("mkdir", Cat(directory_, "/", kTransactionName, "/", name));
  }
  UniqueFd dir = TRY(OpenAt(txn_.get(), name, O_RDONLY | O_DIRECTORY));
  return std::make_unique<TransactionImpl>(*this, std::move(name), std::move(dir), std::move(sync));
}

TransactionImpl::~TransactionImpl() {
  std::set<Digest> pins;
  for (const auto& [diff_id, layer] : pinned_) {
    pins.insert(diff_id);
  }
  store_.Unpin(pins);
  // What cannot be removed now is removed at the next start.
  (void)RemoveTreeAt(store_.txn_.get(), name_);
}

Result<LayerInfo> TransactionImpl::AddLayer(LayerSource layer, IngestProgress progress) {
  for (const auto* known : {&unpacked_, &pinned_}) {
    auto found = known->find(layer.diff_id);
    if (found != known->end()) {
      return found->second;
    }
  }
  if (auto present = store_.Pin(layer.diff_id)) {
    pinned_.emplace(layer.diff_id, *present);
    return *present;
  }
  if (layer.source == nullptr) {
    return Fail(Errc::kNotFound, Cat("layer ", layer.diff_id.string(), " is not in the store"));
  }
  LayerInfo info =
      TRY(UnpackLayer(dir_.get(), layer.diff_id.hex(), layer, store_.limits_, progress));
  unpacked_.emplace(layer.diff_id, info);
  return info;
}

Result<StoredRecord> TransactionImpl::CheckRecord(const ImageRecord& record,
                                                  const std::vector<std::string>& refs) const {
  if (record.manifest.empty() || record.manifest.size() > kMaxManifestBytes ||
      record.config.size() > kMaxConfigBytes) {
    return Fail(Errc::kInvalid, "the image's manifest or configuration is empty or too large");
  }
  if (!IsPlainToken(record.media_type)) {
    return Fail(Errc::kInvalid, "the image's manifest has no valid media type");
  }
  for (const std::string& ref : refs) {
    TRY(CheckRefName(ref));
  }
  StoredRecord stored;
  stored.refs = refs;
  stored.image.manifest_digest = Digest::Of(record.manifest);
  stored.image.manifest = record.manifest;
  stored.image.config = record.config;
  stored.image.media_type = record.media_type;
  stored.image.created_unix_nanos = UnixNanosNow();
  for (const Digest& diff_id : record.diff_ids) {
    auto unpacked = unpacked_.find(diff_id);
    auto pinned = pinned_.find(diff_id);
    if (unpacked == unpacked_.end() && pinned == pinned_.end()) {
      return Fail(Errc::kNotFound,
                  Cat("layer ", diff_id.string(), " of the image has not been added"));
    }
    stored.image.layers.push_back(unpacked != unpacked_.end() ? unpacked->second : pinned->second);
  }
  return stored;
}

Result<Digest> TransactionImpl::Commit(const ImageRecord& record,
                                       const std::vector<std::string>& refs) {
  // Layers that were in the store all along count as added.
  for (const Digest& diff_id : record.diff_ids) {
    if (!unpacked_.contains(diff_id) && !pinned_.contains(diff_id)) {
      if (auto present = store_.Pin(diff_id)) {
        pinned_.emplace(diff_id, *present);
      }
    }
  }
  StoredRecord stored = TRY(CheckRecord(record, refs));
  if (!unpacked_.empty()) {
    TRY_CTX("write the image to disk", store_.ops_.SyncFileSystem(sync_.get()));
  }
  std::lock_guard write_lock(store_.write_mutex_);
  TRY_CTX("commit the image", Publish(stored));
  bool fresh = TRY_CTX("commit the image", store_.WriteRecord(stored));
  auto named = store_.AddRefs(refs, stored.image.manifest_digest);
  if (!named && fresh) {
    (void)store_.RemoveRecords({stored.image.manifest_digest});
  }
  TRY(std::move(named));
  return stored.image.manifest_digest;
}

Result<> TransactionImpl::Publish(const StoredRecord& record) {
  for (const LayerInfo& layer : record.image.layers) {
    auto own = unpacked_.find(layer.diff_id);
    if (own == unpacked_.end()) {
      continue;
    }
    TRY(store_.PublishLayer(dir_.get(), layer));
    pinned_.emplace(*own);
    unpacked_.erase(own);
  }
  return store_.SyncTrees();
}

// Another transaction may have published the same layer meanwhile: its copy is as good.
Result<> StoreImpl::PublishLayer(int from_dir, const LayerInfo& layer) {
  std::string name = layer.diff_id.hex();
  bool renamed = TRY(ops_.RenameNew(from_dir, name, tree_.get(), name));
  trees_unsynced_ = trees_unsynced_ || renamed;
  std::lock_guard lock(mutex_);
  LayerState& state = layers_[layer.diff_id];
  state.size_bytes = layer.size_bytes;
  ++state.pins;
  return {};
}

Result<> StoreImpl::SyncTrees() {
  if (trees_unsynced_) {
    TRY(ops_.SyncDirectory(tree_.get(), kTreeName));
    trees_unsynced_ = false;
  }
  return {};
}

// False: the image is there already.
Result<bool> StoreImpl::WriteRecord(const StoredRecord& record) {
  const Digest& digest = record.image.manifest_digest;
  {
    std::lock_guard lock(mutex_);
    if (images_.contains(digest)) {
      return false;
    }
  }
  auto written = ops_.ReplaceFile(img_.get(), digest.hex(), EncodeRecord(record));
  if (!written) {
    // It may be visible although it is not durable.
    records_unsynced_ = true;
    (void)ops_.RemoveFile(img_.get(), digest.hex());
    return std::unexpected(std::move(written).error());
  }
  std::lock_guard lock(mutex_);
  AddImageLocked(record.image);
  return true;
}

}  // namespace wherry::store
