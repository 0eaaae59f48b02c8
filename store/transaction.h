// One pull in progress, see Transaction in store/store.h. Internal to the store.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/fd.h"
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
  Result<Digest> Commit(const ImageRecord& record, const std::vector<std::string>& refs) override;

 private:
  Result<LayerInfo> Ingest(const LayerSource& layer, IngestProgress& progress);
  Result<LayerInfo> Publish(const LayerInfo& info);
  Result<StoredRecord> CheckRecord(const ImageRecord& record,
                                   const std::vector<std::string>& refs) const;

  // Large objects of a size, of all layers there were when it was first asked.
  std::vector<Digest> FindTwins(uint64_t size);

  StoreImpl& store_;
  const std::string name_;
  UniqueFd dir_;
  UniqueFd sync_;
  std::optional<std::vector<ObjectSize>> large_;  // by size
  std::map<Digest, LayerInfo> pinned_;            // protected from Collect
};

}  // namespace wherry::store
