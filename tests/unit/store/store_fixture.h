// A store in a temporary directory, and images whose layers are one small file each.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "store/store_impl.h"
#include "tests/unit/store/tar_builder.h"
#include "tests/unit/store/temp_dir.h"

namespace wherry::store {

// The layer "x" is an archive with one file "x" that contains "x".
inline std::string LayerTar(const std::string& name) {
  return TarBuilder().File(name, name).Done();
}
inline Digest DiffId(const std::string& name) {
  return Digest::Of(LayerTar(name));
}
inline std::string Manifest(const std::vector<std::string>& layers) {
  return Cat("manifest of ", Join(layers, "+"));
}
inline std::string Config(const std::vector<std::string>& layers) {
  return Cat("config of ", Join(layers, "+"));
}
inline ImageRecord Record(const std::vector<std::string>& layers) {
  ImageRecord record{Manifest(layers), "application/test", Config(layers), {}};
  for (const std::string& layer : layers) {
    record.diff_ids.push_back(DiffId(layer));
  }
  return record;
}
inline Result<LayerInfo> AddLayer(Transaction& transaction, const std::string& name) {
  std::string tar = LayerTar(name);
  StringSource source(tar);
  return transaction.AddLayer({.source = &source,
                               .compression = Compression::kNone,
                               .blob_digest = Digest::Of(tar),
                               .blob_size = tar.size(),
                               .diff_id = Digest::Of(tar)},
                              {});
}
inline Result<Digest> PullInto(Store& store, const std::vector<std::string>& layers,
                               const std::vector<std::string>& refs) {
  auto transaction = TRY(store.Begin());
  for (const std::string& layer : layers) {
    TRY(AddLayer(*transaction, layer));
  }
  return transaction->Commit(Record(layers), refs);
}

class StoreFixture : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT(); }

  std::string Path(const std::string& name) const {
    return name.empty() ? temp_ / "store" : temp_ / ("store/" + name);
  }
  Result<std::unique_ptr<StoreImpl>> TryOpen(DiskOps& ops = DiskOps::Real()) {
    notices_.clear();
    return StoreImpl::OpenWith(Path(""), limits_, ops, &notices_);
  }
  void OpenStore(DiskOps& ops = DiskOps::Real()) {
    auto opened = TryOpen(ops);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = *std::move(opened);
  }
  void Reopen() {
    store_.reset();
    OpenStore();
  }
  Digest Pull(const std::vector<std::string>& layers, const std::vector<std::string>& refs) {
    auto digest = PullInto(*store_, layers, refs);
    EXPECT_TRUE(digest) << digest.error().message();
    return digest ? *digest : Digest();
  }
  bool Noticed(std::string_view part) const {
    for (const std::string& notice : notices_) {
      if (notice.find(part) != std::string::npos) {
        return true;
      }
    }
    return false;
  }

  TempDir temp_;
  Limits limits_{.reserve_bytes = 0};
  std::vector<std::string> notices_;
  std::unique_ptr<StoreImpl> store_;
};

}  // namespace wherry::store
