// One pull in progress, see Transaction in store/store.h. Internal to the store.
#pragma once

#include <map>
#include <set>
#include <string>

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
  WriteCount written() const override { return written_; }

 private:
  Result<LayerInfo> Ingest(const LayerSource& layer, IngestProgress& progress);
  Result<LayerInfo> Publish(const LayerInfo& info);
  Result<StoredRecord> CheckRecord(const ImageRecord& record,
                                   const std::vector<std::string>& refs) const;

  uint64_t SizeOf(const char* name) const;
  void Account(const WriteCount& more);

  StoreImpl& store_;
  const std::string name_;
  UniqueFd dir_;
  UniqueFd sync_;
  WriteCount written_;
  std::map<Digest, LayerInfo> pinned_;  // protected from Collect
};

}  // namespace wherry::store
