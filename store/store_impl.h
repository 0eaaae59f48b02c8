// The one implementation of Store and Transaction. Split over store.cpp (queries and refs),
// startup.cpp, transaction.cpp, interrupted.cpp, collect.cpp, layers.cpp, check.cpp and repair.cpp.
// Included by those and by tests only.
//
// Locks: write_mutex_ serialises what changes layer/, tree/, img/ and refs and is held over syncs;
// ingest_mutex_ is shared by layers that are being added, whose objects nothing refers to yet, and
// exclusive for the removal of objects; mutex_ guards the maps and is held for a moment only. The
// order is ingest_mutex_, write_mutex_, mutex_; who holds write_mutex_ only tries to get
// ingest_mutex_.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "store/disk_ops.h"
#include "store/factory.h"
#include "store/image_record.h"
#include "store/layer_index.h"
#include "store/layer_tree.h"
#include "store/objects.h"
#include "store/partial_layer.h"
#include "store/refs.h"
#include "store/store.h"

namespace wherry::store {

// Names below the store directory. The only place that has them.
inline constexpr const char* kLockName = "LOCK";
inline constexpr const char* kVersionName = "VERSION";
inline constexpr const char* kLayerName = "layer";
inline constexpr const char* kTreeName = "tree";
inline constexpr const char* kImageName = "img";
inline constexpr const char* kTransactionName = "txn";
inline constexpr const char* kResumeName = "resume";
inline constexpr const char* kQuarantineName = "quarantine";
inline constexpr const char* kRefsName = "refs";
inline constexpr const char* kCleanName = "clean";
inline constexpr const char* kFactoryDamageName = "factory-damage";
inline constexpr uint64_t kStoreVersion = 1;
inline constexpr std::string_view kIndexSuffix = ".idx";
inline constexpr std::string_view kSplitSuffix = ".tar";
inline constexpr std::string_view kImageSuffix = ".erofs";
// Of a file that is kept with the metadata: a file of its own would take a block and an inode. More
// would cost updates what it saves first pulls, and memory: docs/store.md, "Tiers".
inline constexpr size_t kInlineBytes = 1024;

// What a stack of layers is, lowest first: the name of its metadata image. The chainID of the OCI
// image specification (config.md, "Layer ChainID").
Digest ChainId(const std::vector<LayerInfo>& layers);

// kCorrupt when one of its indexes is not among the names in layer/.
Result<> CheckLayerFiles(const Image& image, const std::set<std::string>& layer_files);

// kUnsupported for a newer version than this program knows.
Result<> CheckStoreVersion(uint64_t version, const std::string& directory, std::string_view remedy);

class StoreImpl final : public Store {
 public:
  ~StoreImpl() override;
  // As Store::Open. `ops` must outlive the store.
  static Result<std::unique_ptr<StoreImpl>> OpenWith(const std::string& directory,
                                                     const Options& options, DiskOps& ops,
                                                     std::vector<std::string>* notices);

  Result<std::unique_ptr<Transaction>> Begin() override;
  Result<> CheckSpace(uint64_t needed_bytes) const override;
  bool HasLayer(const Digest& diff_id) const override;
  std::optional<LayerInfo> FindLayer(const Digest& diff_id) const override;
  std::shared_ptr<const Image> Find(const Digest& manifest_digest) const override;
  std::vector<Digest> Images() const override;
  std::vector<ImageKey> Keys() const override;
  std::vector<Ref> Refs() const override;
  bool IsFactoryOnly(const Digest& manifest_digest) const override;
  std::optional<Digest> Resolve(std::string_view ref_name) const override;
  Result<> SetRef(const std::string& name, const Digest& manifest_digest) override;
  Result<> RemoveRefs(const std::vector<std::string>& names) override;
  Result<CollectResult> Collect(const std::set<Digest>& candidates,
                                const std::set<Digest>& in_use) override;
  WriteCount written() const override;
  Result<Usage> Measure() const override;
  Result<CheckCount> Check(CheckDepth depth, CheckSink& sink) override;
  Result<> SetAside(const std::vector<Damage>& damages) override;
  Result<> Sound(const Digest& manifest_digest) const override;
  bool IsUntouched() const override;
  void SetChecked() override;
  bool HasQuarantine() const override;
  Result<RootFs> Root(const Digest& manifest_digest) override;
  Result<std::unique_ptr<ByteSource>> OpenLayer(const Digest& diff_id) override;
  Result<std::unique_ptr<ByteSource>> ApplyDelta(const Digest& from, ByteSource& delta) override;
  Result<uint64_t> ArchiveSize(const Digest& diff_id) override;
  Tier tier() const override { return tier_; }
  bool has_verity() const override { return verity_; }
  bool has_factory() const override { return factory_.has_value(); }
  const std::string& directory() const override { return directory_; }

 private:
  friend class TransactionImpl;
  friend class Checker;
  friend class UsageCounter;
  struct LayerState {
    uint64_t size_bytes = 0;
    uint32_t images = 0;  // records here that list it
    uint32_t pins = 0;    // open transactions that rely on it
    bool durable = false;
    bool own = false;      // index and archive are here
    bool factory = false;  // they are in the factory store
  };
  struct ImageState {
    std::vector<LayerInfo> layers;  // lowest first
    Digest chain_id;
    Digest config_digest;
    int64_t created_unix_nanos = 0;
    bool record_damaged = false;
    bool own = false;      // the record is here
    bool factory = false;  // it is in the factory store
    mutable std::weak_ptr<const Image> parsed;
  };
  // What a layer lacks. While it is known the layer counts as absent.
  struct Broken {
    std::string what;        // "its object sha256:... is missing"
    bool files = false;      // index or archive
    bool new_index = false;  // has been replaced: what was made from the old one is not trusted
    std::optional<size_t> inline_bytes;  // as the index was written, when it can be read
    std::vector<ObjectSize> objects;     // that were damaged
  };
  struct FoundRefs;  // names that records carry

  // `clean` is a hint that costs a check when it is lost: it is not synced.
  Result<> Touch();
  void MarkClean();

  StoreImpl(std::string directory, const Options& options, DiskOps& ops)
      : directory_(std::move(directory)), limits_(options.limits), ops_(ops) {}

  // startup.cpp. Notices may be null there.
  Result<> Start(const Options& options, std::vector<std::string>* notices);
  Result<> ProbeVerity(Verity wanted);
  void LoadFactory(const std::string& directory, std::vector<std::string>& notices);
  Result<> UseFactory();
  Result<> Lock();
  Result<> CheckVersion(std::vector<std::string>& notices);
  Result<> OpenParts();
  Result<> LoadRecords(FoundRefs& found, std::vector<std::string>& notices);
  Result<> LoadRecord(const std::string& name, const std::set<std::string>& layer_files,
                      FoundRefs& found);
  Result<> LoadRefs(const FoundRefs& found, std::vector<std::string>& notices);
  void RemoveLeftovers(std::vector<std::string>& notices);
  struct UnusedFile {
    int dir;
    std::string name;
  };
  Result<std::vector<UnusedFile>> UnusedLayerFiles() const;
  bool Quarantine(int dir, const std::string& name, const std::string& as);

  // REQUIRES: mutex_ held.
  void AddImageLocked(const Image& image);
  void AddFactoryImageLocked(const Image& image);
  std::optional<Digest> ResolveLocked(std::string_view ref_name) const;
  void RemoveImageLocked(const Digest& manifest_digest);

  // REQUIRES: write_mutex_ held. Writes the file, then takes `refs` as the state.
  Result<> ReplaceRefs(RefMap refs);
  Result<> SaveRefs();
  // The names as they will be; nothing when these are so already.
  std::optional<RefMap> WithRefs(const std::vector<std::string>& names,
                                 const Digest& manifest_digest) const;

  // Where a file of layer/ or img/ is read.
  int DirOf(const std::string& layer_file) const;
  int DirOfRecord(const Digest& manifest_digest) const;
  // A layer's directory of tier B; whether it is in the factory store.
  Result<UniqueFd> OpenTree(const Digest& diff_id, bool* factory = nullptr) const;
  bool IsFactoryDir(int dir) const;
  std::string BaseOf(int dir) const;  // of its absolute paths
  // In front of a path in messages.
  std::string_view PlaceOf(int dir) const {
    return IsFactoryDir(dir) ? std::string_view(factory_->prefix) : "";
  }

  // layers.cpp: from indexes and objects to what a tier needs, and back to archives.
  Result<LayerIndex> ReadIndex(const Digest& diff_id) const;
  Result<> ScanIndex(const Digest& diff_id, LayerIndex::Trust trust,
                     const LayerIndex::UseObject& use) const;
  // Those of `wanted` that are kept in the index of any layer.
  Result<SmallContents> FindSmall(const WantedContents& wanted) const;
  bool HasImage(const Digest& chain_id) const;
  Result<LayerTree> MergedTree(const std::vector<LayerInfo>& layers) const;
  // Not durable yet. REQUIRES: write_mutex_ held; `dir` is a directory of the caller's own.
  // Returns its size.
  Result<uint64_t> MakeImage(const std::vector<LayerInfo>& layers, const Digest& chain_id, int dir);
  // False: it is there already.
  Result<bool> MakeTree(const LayerTree& tree, const Digest& diff_id, int dir);
  // Into the new directory `name` below `dir`.
  Result<> FillTree(const LayerTree& tree, const std::string& name, int dir);
  Result<> EnsureRoot(const std::vector<LayerInfo>& layers, const Digest& chain_id);
  Result<RootFs> ImageRoot(const Digest& chain_id) const;
  Result<RootFs> TreeRoot(const std::vector<LayerInfo>& layers) const;

  // repair.cpp
  Result<> QuarantineObject(const Digest& digest);
  // What is damaged in the factory store, of which nothing can be moved: how much, and the file
  // that keeps it.
  size_t FactoryDamage() const;
  Result<> SaveFactoryDamage();
  void LoadFactoryDamage();
  void Break(const Digest& diff_id, std::string what);
  Result<> BreakLayersWith(std::vector<Digest> objects);
  Result<> RemakeTree(const Digest& diff_id);
  Result<> RemakeImages(const Digest& diff_id);
  std::optional<Broken> FindBroken(const Digest& diff_id) const;
  // Takes those layers into use again that lack nothing any more.
  Result<> Heal();
  Result<bool> HealLayer(const Digest& diff_id, const Broken& broken);

  // transaction.cpp. REQUIRES: write_mutex_ held. `dir`: a directory of the transaction's own;
  // `sync`: see DiskOps::SyncFileSystem.
  Result<> WriteDown(const StoredRecord& record, int dir, int sync, WriteCount& written);
  Result<> Stage(int dir, const char* name, std::string_view content);
  Result<uint64_t> Copy(int from, int to);  // returns the size
  // Copies indexes and archives of the factory store, so that no removal depends on it.
  Result<> AdoptLayers(const std::vector<LayerInfo>& layers, int dir, WriteCount& written);
  Result<> Publish(const Image& image, std::optional<RefMap> names, int dir, int sync);

  // interrupted.cpp
  std::vector<std::string> FindInterrupted();
  void ForgetInterrupted(const Digest& diff_id);
  std::vector<std::string> ForgetAllInterrupted();

  // collect.cpp
  std::optional<LayerInfo> Pin(const Digest& diff_id);
  void Unpin(const std::set<Digest>& diff_ids);
  // Objects that may be garbage. More than can be kept are all there are.
  void Suspect(std::span<const Digest> objects);
  // REQUIRES: write_mutex_ held.
  Result<> RemoveRecords(const std::vector<Digest>& digests);
  Result<> Sweep(CollectResult& result);
  void SuspectObjectsOf(const Digest& diff_id);
  Result<uint64_t> RemoveLayerFile(const std::string& name);
  Result<> RemoveImages(CollectResult& result);
  Result<> RemoveObjects(CollectResult& result);
  Result<> RemoveObject(const Digest& digest, CollectResult& result);
  Result<> RemoveUnusedObjects(CollectResult& result);
  Result<> RemoveOthers(const DigestRange& range, const std::vector<uint64_t>& needed,
                        CollectResult& result);
  Result<> RemoveLayerTree(const std::string& name);
  enum class Origin : uint8_t { kHere, kAnywhere };
  Result<> ForEachObject(Origin origin, LayerIndex::Trust trust,
                         const LayerIndex::UseObject& use) const;

  const std::string directory_;  // absolute
  const Limits limits_;
  DiskOps& ops_;
  Tier tier_ = Tier::kDirectories;  // from Start on
  bool verity_ = false;             // from Start on
  UniqueFd dir_;
  UniqueFd lock_;
  std::optional<Objects> objects_;  // from Start on
  std::optional<Factory> factory_;  // from Start on
  UniqueFd layer_;
  UniqueFd tree_;
  UniqueFd img_;
  UniqueFd txn_;
  UniqueFd resume_;

  std::mutex write_mutex_;
  bool records_unsynced_ =
      false;                   // guarded by write_mutex_: records whose removal may not be durable
  bool refs_unsaved_ = false;  // guarded by write_mutex_: refs_ is not what the file has
  uint64_t next_garbage_ = 1;  // guarded by write_mutex_
  std::shared_mutex ingest_mutex_;
  std::mutex checkout_mutex_;  // one CheckOut at a time

  mutable std::mutex mutex_;
  std::map<Digest, LayerState> layers_;  // those whose index is there and complete
  std::map<Digest, ImageState> images_;
  std::map<Digest, Broken> broken_;  // by diffID
  std::set<Digest> interrupted_;     // layers below resume/ whose objects are kept
  std::set<Digest> resuming_;        // those of open transactions
  std::set<Digest> dropped_chains_;  // of images that were removed
  std::set<Digest> bad_chains_;      // whose image in the factory store is damaged
  std::vector<Digest> suspects_;     // objects that may be garbage
  bool suspect_all_ = false;         // they are not known, or too many
  RefMap refs_;
  WriteCount written_;
  bool clean_ = false;       // there is a file that says so
  bool checked_ = false;     // all that was there at the start is whole
  size_t transactions_ = 0;  // that are open
  uint64_t next_transaction_ = 1;
};

}  // namespace wherry::store
