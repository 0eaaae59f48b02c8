// The commit protocol. Order is everything here (docs/store.md, "Commit"):
//   objects, indexes and what the tier needs get their names -> syncfs -> record (fsync, rename,
//   fsync) -> refs (same). What no record needs means nothing, so a cut before the record leaves
//   garbage at most.
#include "store/transaction.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "store/archive_split.h"
#include "store/ingest.h"
#include "store/space.h"

namespace wherry::store {

namespace {

// Names in a transaction's directory.
constexpr const char* kSplitPart = "headers";
constexpr const char* kIndexPart = "index";

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
  TRY_CTX(kTransactionName, ops_.MakeDir(txn_.get(), name));
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
  (void)store_.ops_.RemoveTree(store_.txn_.get(), name_);
}

Result<LayerInfo> TransactionImpl::AddLayer(LayerSource layer, IngestProgress progress) {
  auto known = pinned_.find(layer.diff_id);
  if (known != pinned_.end()) {
    return known->second;
  }
  if (auto present = store_.Pin(layer.diff_id)) {
    pinned_.emplace(layer.diff_id, *present);
    return *present;
  }
  if (layer.source == nullptr) {
    return Fail(Errc::kNotFound, Cat("layer ", layer.diff_id.string(), " is not in the store"));
  }
  LayerInfo info = TRY(Ingest(layer, progress));
  pinned_.emplace(layer.diff_id, info);
  auto healed = store_.Heal();
  if (!healed && store_.FindBroken(layer.diff_id))
    return std::unexpected(std::move(healed).error());
  return info;
}

Result<LayerInfo> TransactionImpl::Ingest(const LayerSource& layer, IngestProgress& progress) {
  std::shared_lock ingest_lock(store_.ingest_mutex_);
  DiskOps& ops = store_.ops_;
  // A lower bound: files take less than their archive only by its headers, unless they are known.
  TRY(CheckFreeSpace(dir_.get(), 0, store_.limits_.reserve_bytes));
  ObjectWriter objects(*store_.objects_, dir_.get(), ops, store_.limits_.reserve_bytes);
  auto split = TRY(SplitWriter::Create(TRY(ops.Create(dir_.get(), kSplitPart, 0600)), ops));
  auto broken = store_.FindBroken(layer.diff_id);
  size_t inline_bytes = store_.tier_ == Tier::kDirectories ? 0 : kInlineBytes;
  IngestTarget target{
      .objects = objects,
      .split = split,
      .inline_bytes = broken ? broken->inline_bytes.value_or(inline_bytes) : inline_bytes};
  uint64_t metadata = 0;
  auto take = [&]() -> Result<LayerInfo> {
    IngestedLayer taken = TRY(IngestLayer(layer, store_.limits_, target, progress));
    std::string index = LayerIndex::Encode(layer.diff_id, taken.tree, taken.objects);
    UniqueFd fd = TRY(ops.Create(dir_.get(), kIndexPart, 0600));
    TRY(ops.Write(fd.get(), std::as_bytes(std::span(index)), 0));
    metadata = index.size() + SizeOf(kSplitPart);
    if (store_.tier_ == Tier::kDirectories && !broken) {
      TRY(store_.MakeTree(taken.tree, layer.diff_id, dir_.get()));
    }
    return Publish({layer.diff_id, taken.tree.size_bytes()});
  };
  auto info = take();
  Account({objects.written_bytes(), objects.discarded_bytes(), objects.known_bytes(), metadata});
  if (!info) {
    store_.Suspect(objects.added());
  }
  return info;
}

uint64_t TransactionImpl::SizeOf(const char* name) const {
  struct stat info;
  bool there = fstatat(dir_.get(), name, &info, AT_SYMLINK_NOFOLLOW) == 0;
  return there ? static_cast<uint64_t>(info.st_size) : 0;
}

void TransactionImpl::Account(const WriteCount& more) {
  written_.Add(more);
  std::lock_guard lock(store_.mutex_);
  store_.written_.Add(more);
}

// Another transaction may have added the same layer meanwhile: what that has made is as good.
Result<LayerInfo> TransactionImpl::Publish(const LayerInfo& info) {
  std::lock_guard lock(store_.mutex_);
  StoreImpl::LayerState& state = store_.layers_[info.diff_id];
  auto broken = store_.broken_.find(info.diff_id);
  bool repaired = broken != store_.broken_.end() && broken->second.files;
  if ((state.images == 0 && state.pins == 0) || repaired) {
    std::string name = info.diff_id.hex();
    auto named =
        store_.ops_.Rename(dir_.get(), kSplitPart, store_.layer_.get(), Cat(name, kSplitSuffix));
    if (named) {
      named =
          store_.ops_.Rename(dir_.get(), kIndexPart, store_.layer_.get(), Cat(name, kIndexSuffix));
    }
    if (!named) {
      if (!repaired)
        store_.layers_.erase(info.diff_id);
      return std::unexpected(std::move(named).error());
    }
    state.size_bytes = info.size_bytes;
    if (repaired) {
      broken->second.files = false;
      broken->second.new_index = true;
    }
  }
  ++state.pins;
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
    auto pinned = pinned_.find(diff_id);
    if (pinned == pinned_.end()) {
      return Fail(Errc::kNotFound,
                  Cat("layer ", diff_id.string(), " of the image has not been added"));
    }
    stored.image.layers.push_back(pinned->second);
  }
  return stored;
}

Result<Digest> TransactionImpl::Commit(const ImageRecord& record,
                                       const std::vector<std::string>& refs) {
  // Layers that were in the store all along count as added.
  for (const Digest& diff_id : record.diff_ids) {
    if (!pinned_.contains(diff_id)) {
      if (auto present = store_.Pin(diff_id)) {
        pinned_.emplace(diff_id, *present);
      }
    }
  }
  StoredRecord stored = TRY(CheckRecord(record, refs));
  WriteCount written;
  std::lock_guard write_lock(store_.write_mutex_);
  bool fresh =
      TRY_CTX("commit the image", store_.WriteDown(stored, dir_.get(), sync_.get(), written));
  if (fresh)
    written.metadata += EncodeRecord(stored).size();
  Account(written);
  auto named = store_.AddRefs(refs, stored.image.manifest_digest);
  if (!named && fresh) {
    (void)store_.RemoveRecords({stored.image.manifest_digest});
  }
  TRY(std::move(named));
  return stored.image.manifest_digest;
}

// Everything the record needs becomes durable, then the record. False: the image is there already.
Result<bool> StoreImpl::WriteDown(const StoredRecord& record, int dir, int sync,
                                  WriteCount& written) {
  const std::vector<LayerInfo>& layers = record.image.layers;
  Digest chain_id = ChainId(layers);
  bool image = tier_ != Tier::kDirectories && !layers.empty() && !HasImage(chain_id);
  if (image) {
    written.metadata += TRY(MakeImage(layers, chain_id, dir));
    std::lock_guard lock(mutex_);
    dropped_chains_.insert(chain_id);  // should this fail; no matter otherwise
  }
  auto is_durable = [this](const LayerInfo& layer) { return layers_[layer.diff_id].durable; };
  bool durable = false;
  {
    std::lock_guard lock(mutex_);
    durable = !image && std::all_of(layers.begin(), layers.end(), is_durable);
  }
  if (!durable) {
    TRY_CTX("write the image to disk", ops_.SyncFileSystem(sync));
  }
  bool fresh = TRY(WriteRecord(record));
  std::lock_guard lock(mutex_);
  for (const LayerInfo& layer : layers) {
    layers_[layer.diff_id].durable = true;
  }
  return fresh;
}

// False: the image is there already.
Result<bool> StoreImpl::WriteRecord(const StoredRecord& record) {
  const Digest& digest = record.image.manifest_digest;
  {
    std::lock_guard lock(mutex_);
    auto image = images_.find(digest);
    if (image != images_.end() && !image->second.record_damaged) {
      return false;
    }
  }
  auto written = ops_.ReplaceFile(img_.get(), digest.hex(), EncodeRecord(record));
  {
    std::lock_guard lock(mutex_);
    auto image = images_.find(digest);
    if (image != images_.end()) {  // in place of a damaged one
      image->second.record_damaged = !written;
      TRY(std::move(written));
      return false;
    }
  }
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
