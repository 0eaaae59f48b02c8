// The one implementation of Store and Transaction. Split over store.cpp (queries and refs),
// startup.cpp, transaction.cpp and collect.cpp. Included by those and by tests only.
//
// Locks: write_mutex_ serialises what changes tree/, img/ and refs and is held over fsync; mutex_
// guards the maps and is held for a moment only. write_mutex_ is taken first.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "store/disk_ops.h"
#include "store/image_record.h"
#include "store/refs.h"
#include "store/store.h"

namespace wherry::store {

// Names below the store directory. The only place that has them.
inline constexpr const char* kLockName = "LOCK";
inline constexpr const char* kVersionName = "VERSION";
inline constexpr const char* kTreeName = "tree";
inline constexpr const char* kImageName = "img";
inline constexpr const char* kTransactionName = "txn";
inline constexpr const char* kQuarantineName = "quarantine";
inline constexpr const char* kRefsName = "refs";
inline constexpr uint64_t kStoreVersion = 1;

class StoreImpl final : public Store {
 public:
  // As Store::Open. `ops` must outlive the store.
  static Result<std::unique_ptr<StoreImpl>> OpenWith(const std::string& directory,
                                                     const Limits& limits, DiskOps& ops,
                                                     std::vector<std::string>* notices);

  Result<std::unique_ptr<Transaction>> Begin() override;
  Result<> CheckSpace(uint64_t needed_bytes) const override;
  bool HasLayer(const Digest& diff_id) const override;
  std::optional<LayerInfo> FindLayer(const Digest& diff_id) const override;
  std::shared_ptr<const Image> Find(const Digest& manifest_digest) const override;
  std::vector<Digest> Images() const override;
  std::vector<Ref> Refs() const override;
  std::optional<Digest> Resolve(std::string_view ref_name) const override;
  Result<> SetRef(const std::string& name, const Digest& manifest_digest) override;
  Result<> RemoveRefs(const std::vector<std::string>& names) override;
  Result<CollectResult> Collect(const std::set<Digest>& candidates,
                                const std::set<Digest>& in_use) override;
  Result<std::vector<std::string>> LowerDirs(const Digest& manifest_digest) const override;
  const std::string& directory() const override { return directory_; }

 private:
  friend class TransactionImpl;
  struct LayerState {
    uint64_t size_bytes = 0;
    uint32_t images = 0;  // records that list it
    uint32_t pins = 0;    // open transactions that rely on it
  };
  struct ImageState {
    std::vector<LayerInfo> layers;  // lowest first
    mutable std::weak_ptr<const Image> parsed;
  };
  struct FoundRefs;  // names that records carry

  StoreImpl(std::string directory, const Limits& limits, DiskOps& ops)
      : directory_(std::move(directory)), limits_(limits), ops_(ops) {}

  // startup.cpp. Notices may be null there.
  Result<> Start(std::vector<std::string>* notices);
  Result<> Lock();
  Result<> CheckVersion(std::vector<std::string>& notices);
  Result<> OpenParts();
  void RemoveLeftovers(std::vector<std::string>& notices);
  Result<> LoadRecords(FoundRefs& found, std::vector<std::string>& notices);
  Result<> LoadRecord(const std::string& name, const std::set<std::string>& trees,
                      FoundRefs& found);
  Result<> LoadRefs(const FoundRefs& found, std::vector<std::string>& notices);
  void RemoveUnusedTrees(const std::set<std::string>& trees, std::vector<std::string>& notices);
  bool Quarantine(int dir, const std::string& name, const std::string& as);

  // REQUIRES: mutex_ held.
  void AddImageLocked(const Image& image);
  void RemoveImageLocked(const Digest& manifest_digest);

  // REQUIRES: write_mutex_ held. Writes the file, then takes `refs` as the state.
  Result<> ReplaceRefs(RefMap refs);

  // transaction.cpp. REQUIRES: write_mutex_ held.
  Result<> PublishLayer(int from_dir, const LayerInfo& layer);
  Result<> SyncTrees();
  Result<bool> WriteRecord(const StoredRecord& record);
  Result<> AddRefs(const std::vector<std::string>& names, const Digest& manifest_digest);

  // collect.cpp
  std::optional<LayerInfo> Pin(const Digest& diff_id);
  void Unpin(const std::set<Digest>& diff_ids);
  // REQUIRES: write_mutex_ held.
  Result<> RemoveRecords(const std::vector<Digest>& digests);
  Result<> Sweep(CollectResult& result);
  Result<> RemoveLayerTree(const std::string& name);

  const std::string directory_;  // absolute
  const Limits limits_;
  DiskOps& ops_;
  UniqueFd dir_;
  UniqueFd lock_;
  UniqueFd tree_;
  UniqueFd img_;
  UniqueFd txn_;

  std::mutex write_mutex_;
  bool trees_unsynced_ = false;  // guarded by write_mutex_: names in tree/ that may not be durable
  bool records_unsynced_ =
      false;                   // guarded by write_mutex_: records whose removal may not be durable
  uint64_t next_garbage_ = 1;  // guarded by write_mutex_

  mutable std::mutex mutex_;
  std::map<Digest, LayerState> layers_;  // those in tree/
  std::map<Digest, ImageState> images_;
  RefMap refs_;
  uint64_t next_transaction_ = 1;
};

}  // namespace wherry::store
