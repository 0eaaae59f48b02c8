// A store in a temporary directory, and images whose layers are one small file each.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "store/store_impl.h"
#include "tests/unit/store/files.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {

// The layer "x" is an archive with one file "x", long enough to be an object in each tier.
inline std::string Body(const std::string& name) {
  return name + std::string(3000 - name.size(), '.');
}
inline std::string LayerTar(const std::string& name) {
  return TarBuilder().File(name, Body(name)).Done();
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
    return StoreImpl::OpenWith(Path(""), {.limits = limits_, .tier = tier_, .factory = factory_},
                               ops, &notices_);
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
  // The layers there are, by what they are named for.
  size_t Layers() const {
    size_t count = 0;
    auto names = ListDir(Path("layer"));
    for (const std::string& name : *names) {
      count += name.ends_with(".idx") ? 1 : 0;
    }
    return count;
  }
  size_t ObjectCount() const {
    size_t count = 0;
    auto groups = ListDir(Path("obj"));
    for (const std::string& group : *groups) {
      count += ListDir(Path("obj/" + group))->size();
    }
    return count;
  }
  // Nothing is left of what is not an image.
  void ExpectClean(size_t layers) {
    EXPECT_EQ(Layers(), layers);
    EXPECT_EQ(ObjectCount(), layers);  // each has one file
    EXPECT_EQ(ListDir(Path("tree"))->size(), tier_ == Tier::kDirectories ? layers : 0);
    EXPECT_TRUE(ListDir(Path("txn"))->empty());
  }
  bool Noticed(std::string_view part) const {
    for (const std::string& notice : notices_) {
      if (notice.find(part) != std::string::npos) {
        return true;
      }
    }
    return false;
  }

  // What is tested does not depend on the file system, and makes many files.
  TempDir temp_{TempDir::Where::kMemory};
  Limits limits_{.reserve_bytes = 0};
  Tier tier_ = Tier::kDirectories;
  std::string factory_;  // none
  std::vector<std::string> notices_;
  std::unique_ptr<StoreImpl> store_;
};

// In each tier this machine can have.
class EachTier : public StoreFixture, public testing::WithParamInterface<Tier> {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped())
      return;
    tier_ = GetParam();
    auto opened = TryOpen();
    if (!opened && opened.error().code() == Errc::kUnsupported)
      GTEST_SKIP() << opened.error().message();
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = *std::move(opened);
  }
};

}  // namespace wherry::store
