// The commit protocol. Order is everything here (docs/store.md, "Commit"):
//   objects, indexes and what the tier needs get their names; record and refs are written aside ->
//   syncfs -> record and refs get their names -> syncfs. What no record needs means nothing, so a
//   cut before the record leaves garbage at most.
#include "store/transaction.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
constexpr const char* kIndexPart = "index";
constexpr const char* kRecordPart = "record";
constexpr const char* kRefsPart = "refs";
constexpr const char* kAdoptedPart = "adopted";

uint64_t SizeOf(int dir, const char* name) {
  struct stat info;
  bool there = fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
  return there ? static_cast<uint64_t>(info.st_size) : 0;
}

constexpr size_t kCopyBytes = size_t{64} << 10;
constexpr size_t kMaxLargeObjects = 50'000;  // 2 MB of memory

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
  TRY(Touch());
  return std::make_unique<TransactionImpl>(*this, std::move(name), std::move(dir), std::move(sync));
}

TransactionImpl::~TransactionImpl() {
  std::set<Digest> pins;
  for (const auto& [diff_id, layer] : pinned_) {
    pins.insert(diff_id);
  }
  EndResuming();
  store_.Unpin(pins);
  // What cannot be removed now is removed at the next start.
  (void)store_.ops_.RemoveTree(store_.txn_.get(), name_);
  std::lock_guard lock(store_.mutex_);
  --store_.transactions_;
}

Result<LayerInfo> TransactionImpl::AddLayer(LayerSource layer, IngestProgress progress) {
  if (layer.diff_id) {
    if (auto known = Known(*layer.diff_id)) {
      return *known;
    }
  }
  if (layer.source == nullptr) {
    return Fail(Errc::kNotFound,
                Cat("layer ", layer.diff_id.value_or(Digest()).string(), " is not in the store"));
  }
  std::shared_lock ingest_lock(store_.ingest_mutex_);
  auto info = IsResumable(layer) ? AddResumable(layer, progress) : AddWhole(layer, progress);
  ingest_lock.unlock();
  return Keep(std::move(info));
}

Result<std::optional<LayerInfo>> TransactionImpl::AddLayerByParts(LayerParts layer,
                                                                  IngestProgress progress) {
  if (auto known = Known(layer.diff_id)) {
    return known;
  }
  // From here on no object goes away: what is counted on now is there when it is read.
  std::shared_lock ingest_lock(store_.ingest_mutex_);
  PartialLayer partial(layer, *store_.objects_, store_.limits_);
  auto find_small = [this](const WantedContents& wanted) { return store_.FindSmall(wanted); };
  if (!TRY(partial.Prepare(inline_bytes(), find_small))) {
    return std::nullopt;
  }
  auto info = Ingest(dir_.get(), layer.diff_id,
                     [&](const IngestTarget& target) { return partial.Take(target, progress); });
  ingest_lock.unlock();
  return TRY(Keep(std::move(info)));
}

// The same layer may come twice, when its diffID was not known before.
Result<LayerInfo> TransactionImpl::Keep(Result<LayerInfo> info) {
  if (info && !pinned_.emplace(info->diff_id, *info).second) {
    store_.Unpin({info->diff_id});
  }
  if (info) {
    auto healed = store_.Heal();
    if (!healed && store_.FindBroken(info->diff_id)) {
      return std::unexpected(std::move(healed).error());
    }
  }
  return info;
}

std::optional<LayerInfo> TransactionImpl::Known(const Digest& diff_id) {
  auto known = pinned_.find(diff_id);
  if (known != pinned_.end()) {
    return known->second;
  }
  auto present = store_.Pin(diff_id);
  if (present) {
    pinned_.emplace(diff_id, *present);
  }
  return present;
}

size_t TransactionImpl::inline_bytes() const {
  return store_.tier_ == Tier::kDirectories ? 0 : kInlineBytes;
}

Result<LayerInfo> TransactionImpl::Ingest(int dir, const std::optional<Digest>& diff_id,
                                          const TakeLayer& take_layer) {
  DiskOps& ops = store_.ops_;
  // A lower bound: files take less than their archive only by its headers, unless they are known.
  TRY(CheckFreeSpace(dir, 0, store_.limits_.reserve_bytes));
  ObjectWriter objects(*store_.objects_, dir, ops, store_.limits_.reserve_bytes,
                       [this](uint64_t size) { return FindTwins(size); });
  UniqueFd split_file = TRY(ops.Create(dir, kSplitPart, 0600));
  auto split = TRY(SplitWriter::Create(std::move(split_file), ops));
  auto broken = diff_id ? store_.FindBroken(*diff_id) : std::nullopt;
  IngestTarget target{
      .objects = objects,
      .split = split,
      .inline_bytes = broken ? broken->inline_bytes.value_or(inline_bytes()) : inline_bytes()};
  uint64_t metadata = 0;
  auto take = [&]() -> Result<LayerInfo> {
    IngestedLayer taken = TRY(take_layer(target));
    std::string index = TRY(LayerIndex::Encode(taken.diff_id, taken.tree, taken.objects));
    UniqueFd fd = TRY(ops.Create(dir_.get(), kIndexPart, 0600));
    TRY(ops.Write(fd.get(), std::as_bytes(std::span(index)), 0));
    metadata = index.size() + SizeOf(dir, kSplitPart);
    if (store_.tier_ == Tier::kDirectories && !broken) {
      TRY(store_.MakeTree(taken.tree, taken.diff_id, dir_.get()));
    }
    return Publish({taken.diff_id, taken.tree.size_bytes()}, dir);
  };
  auto info = take();
  Account({objects.written_bytes(), objects.discarded_bytes(), objects.known_bytes(), metadata});
  if (!info) {
    store_.Suspect(objects.added());
  }
  return info;
}

std::vector<Digest> TransactionImpl::FindTwins(uint64_t size) {
  if (!large_) {
    large_.emplace();
    // What cannot be read has no twins; twins are compared.
    (void)store_.ForEachObject(
        StoreImpl::Origin::kAnywhere, LayerIndex::Trust::kVerified,
        [this](const ObjectSize& object) {
          if (object.size > kBufferedBytes && large_->size() < kMaxLargeObjects) {
            large_->push_back(object);
          }
        });
    std::sort(large_->begin(), large_->end(),
              [](const ObjectSize& a, const ObjectSize& b) { return a.size < b.size; });
  }
  std::vector<Digest> twins;
  auto same =
      std::equal_range(large_->begin(), large_->end(), ObjectSize{{}, size},
                       [](const ObjectSize& a, const ObjectSize& b) { return a.size < b.size; });
  for (auto object = same.first; object != same.second; ++object) {
    if (twins.empty() || twins.back() != object->digest) {
      twins.push_back(object->digest);
    }
  }
  return twins;
}

void TransactionImpl::Account(const WriteCount& more) {
  written_.Add(more);
  std::lock_guard lock(store_.mutex_);
  store_.written_.Add(more);
}

// Another transaction may have added the same layer meanwhile: what that has made is as good.
Result<LayerInfo> TransactionImpl::Publish(const LayerInfo& info, int split_dir) {
  std::lock_guard lock(store_.mutex_);
  StoreImpl::LayerState& state = store_.layers_[info.diff_id];
  auto broken = store_.broken_.find(info.diff_id);
  bool repaired = broken != store_.broken_.end() && broken->second.files;
  if (!state.own || (state.images == 0 && state.pins == 0) || repaired) {
    std::string name = info.diff_id.hex();
    DiskOps& ops = store_.ops_;
    std::string split = Cat(name, kSplitSuffix);
    // Should the image not be committed, the layer is put together again from it.
    bool keep = split_dir != dir_.get();
    auto named = keep ? ops.RemoveFile(store_.layer_.get(), split) : Result<>();
    if (named)
      named = keep ? ops.Link(split_dir, kSplitPart, store_.layer_.get(), split)
                   : ops.Rename(split_dir, kSplitPart, store_.layer_.get(), split);
    if (named) {
      named =
          store_.ops_.Rename(dir_.get(), kIndexPart, store_.layer_.get(), Cat(name, kIndexSuffix));
    }
    if (!named) {
      if (!repaired && !state.factory)
        store_.layers_.erase(info.diff_id);
      return std::unexpected(std::move(named).error());
    }
    state.size_bytes = info.size_bytes;
    state.own = true;
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
  stored.image.config_digest = Digest::Of(record.config);
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
  TRY_CTX("commit the image", store_.WriteDown(stored, dir_.get(), sync_.get(), written));
  Account(written);
  return stored.image.manifest_digest;
}

// Everything the record needs becomes durable, and the record and the names under names that mean
// nothing; then both get their places.
Result<> StoreImpl::WriteDown(const StoredRecord& record, int dir, int sync, WriteCount& written) {
  const std::vector<LayerInfo>& layers = record.image.layers;
  const Digest& digest = record.image.manifest_digest;
  Digest chain_id = ChainId(layers);
  bool image = tier_ != Tier::kDirectories && !layers.empty() && !HasImage(chain_id);
  if (image) {
    written.metadata += TRY(MakeImage(layers, chain_id, dir));
    std::lock_guard lock(mutex_);
    dropped_chains_.insert(chain_id);  // should this fail; no matter otherwise
  }
  auto is_durable = [this](const LayerInfo& layer) { return layers_[layer.diff_id].durable; };
  auto is_own = [this](const LayerInfo& layer) { return layers_[layer.diff_id].own; };
  auto names = WithRefs(record.refs, digest);
  bool fresh = false;
  bool durable = false;
  {
    std::lock_guard lock(mutex_);
    auto there = images_.find(digest);
    // One of the factory store is enough as long as nothing of it has been replaced here.
    bool enough =
        there != images_.end() && !there->second.record_damaged &&
        (there->second.own || (!names && std::none_of(layers.begin(), layers.end(), is_own)));
    fresh = !enough;
    durable = !fresh && !image && std::all_of(layers.begin(), layers.end(), is_durable);
  }
  if (fresh) {
    TRY(AdoptLayers(layers, dir, written));
    std::string text = EncodeRecord(record);
    written.metadata += text.size();
    TRY(Stage(dir, kRecordPart, text));
    if (names)
      TRY(Stage(dir, kRefsPart, EncodeRefs(*names)));
  }
  if (!durable) {
    TRY_CTX("write the image to disk", ops_.SyncFileSystem(sync));
  }
  {
    std::lock_guard lock(mutex_);
    for (const LayerInfo& layer : layers) {
      layers_[layer.diff_id].durable = true;
    }
  }
  if (fresh)
    return Publish(record.image, std::move(names), dir, sync);
  return names ? ReplaceRefs(*std::move(names)) : Result<>();
}

Result<uint64_t> StoreImpl::Copy(int from, int to) {
  std::vector<std::byte> buffer(kCopyBytes);
  for (uint64_t at = 0;;) {
    ssize_t count = pread(from, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (count <= 0)
      return count == 0 ? Result<uint64_t>(at) : FailSys("read", "the factory store");
    auto size = static_cast<size_t>(count);
    TRY(ops_.Write(to, std::span(buffer).first(size), at));
    at += size;
  }
}

Result<> StoreImpl::AdoptLayers(const std::vector<LayerInfo>& layers, int dir,
                                WriteCount& written) {
  for (const LayerInfo& layer : layers) {
    {
      std::lock_guard lock(mutex_);
      if (layers_[layer.diff_id].own)
        continue;
    }
    for (std::string_view suffix : {kSplitSuffix, kIndexSuffix}) {
      std::string name = Cat(layer.diff_id.hex(), suffix);
      UniqueFd from = TRY(OpenAt(factory_->layer.get(), name, O_RDONLY | O_NOFOLLOW));
      UniqueFd to = TRY(ops_.Create(dir, kAdoptedPart, 0600));
      written.metadata +=
          TRY_CTX(Cat("layer ", layer.diff_id.string()), Copy(from.get(), to.get()));
      TRY(ops_.Rename(dir, kAdoptedPart, layer_.get(), name));
    }
    std::lock_guard lock(mutex_);
    layers_[layer.diff_id].own = true;
  }
  return {};
}

Result<> StoreImpl::Stage(int dir, const char* name, std::string_view content) {
  UniqueFd file = TRY(ops_.Create(dir, name, 0600));
  return ops_.Write(file.get(), std::as_bytes(std::span(content)), 0);
}

// Names of one file system become durable in their order, so no name comes before its record.
Result<> StoreImpl::Publish(const Image& image, std::optional<RefMap> names, int dir, int sync) {
  const Digest& digest = image.manifest_digest;
  bool named = false;
  auto publish = [&]() -> Result<> {
    TRY(ops_.Rename(dir, kRecordPart, img_.get(), digest.hex()));
    if (names) {
      named = true;
      TRY(ops_.Rename(dir, kRefsPart, dir_.get(), kRefsName));
    }
    return ops_.SyncFileSystem(sync);
  };
  auto published = publish();
  bool known = false;
  RefMap before;
  {
    std::lock_guard lock(mutex_);
    auto there = images_.find(digest);
    known = there != images_.end() && there->second.own;  // in place of a damaged one
    before = refs_;
  }
  if (!published) {
    // It may be visible although it is not durable.
    if (named)
      (void)ReplaceRefs(std::move(before));
    if (!known) {
      records_unsynced_ = true;
      (void)ops_.RemoveFile(img_.get(), digest.hex());
    }
    return published;
  }
  std::lock_guard lock(mutex_);
  if (known)
    images_[digest].record_damaged = false;
  else
    AddImageLocked(image);
  if (names) {
    refs_ = *std::move(names);
    refs_unsaved_ = false;
  }
  return {};
}

}  // namespace wherry::store
