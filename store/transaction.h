// One pull in progress, see Transaction in store/store.h. Internal to the store.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "store/ingest.h"
#include "store/layer_resume.h"
#include "store/store_impl.h"

namespace wherry::store {

class TransactionImpl final : public Transaction {
 public:
  // `dir` is txn/<name>, `sync` a descriptor of the same file system that was opened before
  // anything is written.
  TransactionImpl(StoreImpl& store, std::string name, UniqueFd dir, UniqueFd sync)
      : store_(store), name_(std::move(name)), dir_(std::move(dir)), sync_(std::move(sync)) {}
  ~TransactionImpl() override;
  TransactionImpl(const TransactionImpl&) = delete;
  TransactionImpl& operator=(const TransactionImpl&) = delete;

  Result<LayerInfo> AddLayer(LayerSource layer, IngestProgress progress) override;
  Result<std::optional<LayerInfo>> AddLayerByParts(LayerParts layer,
                                                   IngestProgress progress) override;
  Result<Digest> Commit(const ImageRecord& record, const std::vector<std::string>& refs) override;
  WriteCount written() const override { return written_; }

 private:
  using TakeLayer = std::function<Result<IngestedLayer>(const IngestTarget& target)>;
  // The layer when it is in the store; it stays there from then on.
  std::optional<LayerInfo> Known(const Digest& diff_id);
  size_t inline_bytes() const;
  // REQUIRES: ingest_mutex_ held.
  // `diff_id`: when it is known before.
  // `dir`: for what has no name yet; txn/<name>, or that of a layer which can be gone on with.
  Result<LayerInfo> Ingest(int dir, const std::optional<Digest>& diff_id,
                           const TakeLayer& take_layer);
  // interrupted.cpp. REQUIRES: ingest_mutex_ held.
  bool IsResumable(const LayerSource& layer) const;
  Result<LayerInfo> AddResumable(const LayerSource& layer, IngestProgress& progress);
  Result<LayerInfo> AddWhole(const LayerSource& layer, IngestProgress& progress);
  Result<LayerInfo> AddAttempt(const LayerSource& layer, IngestProgress& progress,
                               LayerResume& resume, const SavedLayer* saved, bool& replayed);
  void DropResume(const Digest& diff_id);
  void EndResuming();
  Result<LayerInfo> Keep(Result<LayerInfo> info);
  Result<LayerInfo> Publish(const LayerInfo& info, int split_dir);
  Result<StoredRecord> CheckRecord(const ImageRecord& record,
                                   const std::vector<std::string>& refs) const;

  // Large objects of a size, of all layers there were when it was first asked.
  std::vector<Digest> FindTwins(uint64_t size);
  void Account(const WriteCount& more);

  StoreImpl& store_;
  const std::string name_;
  UniqueFd dir_;
  UniqueFd sync_;
  WriteCount written_;
  std::optional<std::vector<ObjectSize>> large_;  // by size
  std::map<Digest, LayerInfo> pinned_;            // protected from Collect
  std::vector<Digest> resuming_;                  // layers with a directory below resume/
};

}  // namespace wherry::store
