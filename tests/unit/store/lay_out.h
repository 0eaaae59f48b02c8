// A layer taken in and laid out as a directory, by all the steps of the store: archive, objects,
// index, tree, directory; and the archive built again.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/archive_split.h"
#include "store/checkout.h"
#include "store/decompress.h"
#include "store/ingest.h"
#include "tests/unit/store/files.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {

// Small files are kept in the index, so that equal ones do not become links of each other.
inline constexpr size_t kPrivateBytes = 256 << 10;

class LayOut {
 public:
  explicit LayOut(size_t inline_bytes = kPrivateBytes, size_t max_inlined = SIZE_MAX)
      : inline_bytes_(inline_bytes), max_inlined_(max_inlined) {}

  // Into the new directory `path`.
  Result<LayerInfo> Run(const Transaction::LayerSource& layer, const Limits& limits,
                        IngestProgress& progress, const std::string& path) {
    UniqueFd store = temp_.Fd();
    Objects objects = TRY(Objects::Open(store.get(), ops_));
    ObjectWriter writer(objects, store.get(), ops_, limits.reserve_bytes);
    auto split = TRY(SplitWriter::Create(TRY(ops_.Create(store.get(), "split", 0600)), ops_));
    IngestTarget target{.objects = writer,
                        .split = split,
                        .inline_bytes = inline_bytes_,
                        .max_inlined = max_inlined_};
    IngestedLayer taken = TRY(IngestLayer(layer, limits, target, progress));
    LayerIndex index = TRY(LayerIndex::Decode(
        TRY(LayerIndex::Encode(taken.diff_id, taken.tree, taken.objects)), taken.diff_id));
    LayerTree tree = TRY(index.Tree());
    EXPECT_EQ(index.size_bytes(), tree.size_bytes());
    EXPECT_EQ(*LayerIndex::Encode(taken.diff_id, tree, taken.objects),
              *LayerIndex::Encode(taken.diff_id, taken.tree, taken.objects));
    if (mkdir(path.c_str(), 0700) != 0)
      return FailSys("mkdir", path);
    UniqueFd root = TRY(OpenDir(path));
    TRY(CheckOut(tree, objects, root.get()));
    EXPECT_EQ(Rebuilt(objects, index, limits), taken.diff_id);
    written_bytes_ = writer.written_bytes();
    objects_ = index.object_count();
    return LayerInfo{taken.diff_id, index.size_bytes()};
  }

  uint64_t written_bytes() const { return written_bytes_; }
  size_t objects() const { return objects_; }
  // Where the objects are; they go with this.
  const TempDir& temp() const { return temp_; }

 private:
  Digest Rebuilt(const Objects& objects, const LayerIndex& index, const Limits& limits) {
    StringSource file(Content(temp_ / "split"));
    auto split = Decompress(file, Compression::kGzip, limits);
    EXPECT_TRUE(split);
    ArchiveSource archive(*std::move(split), [&](uint64_t number) {
      return objects.OpenObject(index.object(static_cast<size_t>(number)).digest);
    });
    Hasher hasher;
    std::vector<std::byte> buffer(50'000);
    for (;;) {
      auto count = archive.Read(buffer);
      EXPECT_TRUE(count) << count.error().message();
      if (!count || *count == 0)
        return hasher.Finish();
      hasher.Update(std::span(buffer).first(*count));
    }
  }

  TempDir temp_;
  DiskOps ops_;
  size_t inline_bytes_;
  size_t max_inlined_;
  uint64_t written_bytes_ = 0;
  size_t objects_ = 0;
};

inline Result<LayerInfo> LayOutTar(const std::string& tar, const std::string& path,
                                   const Limits& limits = {.reserve_bytes = 0}) {
  StringSource source(tar);
  IngestProgress progress;
  return LayOut().Run({.source = &source, .diff_id = Digest::Of(tar)}, limits, progress, path);
}

}  // namespace wherry::store
