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
  Result<LayerInfo> Ingest(const std::optional<Digest>& diff_id, const TakeLayer& take_layer);
  Result<LayerInfo> Keep(Result<LayerInfo> info);
  Result<LayerInfo> Publish(const LayerInfo& info);
  Result<StoredRecord> CheckRecord(const ImageRecord& record,
                                   const std::vector<std::string>& refs) const;

  // Large objects of a size, of all layers there were when it was first asked.
  std::vector<Digest> FindTwins(uint64_t size);
  uint64_t SizeOf(const char* name) const;
  void Account(const WriteCount& more);

  StoreImpl& store_;
  const std::string name_;
  UniqueFd dir_;
  UniqueFd sync_;
  WriteCount written_;
  std::optional<std::vector<ObjectSize>> large_;  // by size
  std::map<Digest, LayerInfo> pinned_;            // protected from Collect
};

}  // namespace wherry::store
