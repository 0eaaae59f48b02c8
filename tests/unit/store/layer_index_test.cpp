#include "store/layer_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/decompress.h"
#include "store/tar_reader.h"
#include "tests/unit/store/tar_builder.h"
#include "tests/unit/temp_dir.h"

namespace wherry::store {
namespace {

const Digest kDiffId = Digest::Of("a layer");

std::string IndexPath(const TempDir& temp) {
  return temp / "index";
}

// One of every kind.
std::string Sample() {
  LayerTree tree;
  std::string tar = TarBuilder()
                        .Dir("d", 01777, -5)
                        .Pax({{"SCHILY.xattr.user.a", "b"}})
                        .Entry({.name = "d/file", .mode = 04755, .uid = 1, .gid = 100'000}, "text")
                        .Hardlink("link", "d/file")
                        .Symlink("s", "d")
                        .Entry({.name = "null", .type = '3', .major = 1, .minor = 3})
                        .File(".wh.gone", "")
                        .File("d/.wh..wh..opq", "")
                        .File("empty", "")
                        .Done();
  StringSource source(tar);
  TarReader reader(source);
  TarEntry entry;
  while (*reader.Next(entry)) {
    auto file = tree.Add(entry);
    EXPECT_TRUE(file);
    if (*file && entry.size > 0)
      tree.SetObject(**file, Digest::Of("text"));
  }
  tree.Seal();
  return *LayerIndex::Encode(kDiffId, tree, std::vector<ObjectSize>{{Digest::Of("text"), 4}});
}

std::string WithNewChecksum(std::string index) {
  index.resize(index.size() - Digest::kSize);
  Digest digest = Digest::Of(index);
  index.append(reinterpret_cast<const char*>(digest.bytes().data()), Digest::kSize);
  return index;
}

TEST(LayerIndex, ComesBack) {
  auto index = LayerIndex::Decode(Sample(), kDiffId);
  ASSERT_TRUE(index);
  ASSERT_EQ(index->object_count(), 1u);
  EXPECT_EQ(index->object(0).digest, Digest::Of("text"));
  EXPECT_EQ(index->object(0).size, 4u);
  EXPECT_EQ(index->size_bytes(), 4u);
  auto tree = index->Tree();
  ASSERT_TRUE(tree) << tree.error().message();
  std::vector<std::string> names;
  for (LayerTree::NameId name : tree->Children(LayerTree::kRoot))
    names.emplace_back(tree->Name(name));
  EXPECT_EQ(names, (std::vector<std::string>{"d", "empty", "gone", "link", "null", "s"}));
}

TEST(LayerIndex, AnyChangeIsFound) {
  std::string good = Sample();
  EXPECT_EQ(LayerIndex::Decode(good, Digest::Of("another")).error().code(), Errc::kCorrupt);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    EXPECT_FALSE(LayerIndex::Decode(bad, kDiffId)) << at;
    EXPECT_FALSE(LayerIndex::Decode(good.substr(0, at), kDiffId)) << at;
  }
}

// Reading it in pieces finds the same.
TEST(LayerIndex, AnyChangeIsFoundByAScan) {
  TempDir temp;
  auto scan = [&](const std::string& content, LayerIndex::Trust trust,
                  const Digest& diff_id = kDiffId) -> Result<std::vector<ObjectSize>> {
    TRY(ReplaceFile(IndexPath(temp), content, 0600, Durability::kVolatile));
    UniqueFd file = TRY(Open(IndexPath(temp), O_RDONLY));
    std::vector<ObjectSize> objects;
    TRY(LayerIndex::Scan(file.get(), diff_id, trust,
                         [&](const ObjectSize& object) { objects.push_back(object); }));
    return objects;
  };
  std::string good = Sample();
  for (auto trust : {LayerIndex::Trust::kVerify, LayerIndex::Trust::kVerified}) {
    auto objects = scan(good, trust);
    ASSERT_TRUE(objects) << objects.error().message();
    ASSERT_EQ(objects->size(), 1u);
    EXPECT_EQ((*objects)[0].digest, Digest::Of("text"));
    EXPECT_EQ((*objects)[0].size, 4u);
    EXPECT_EQ(scan(good, trust, Digest::Of("another")).error().code(), Errc::kCorrupt);
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    EXPECT_FALSE(scan(bad, LayerIndex::Trust::kVerify)) << at;
    EXPECT_FALSE(scan(good.substr(0, at), LayerIndex::Trust::kVerify)) << at;
  }
}

TEST(LayerIndex, AScanTellsMoreObjectsThanFitIntoOnePiece) {
  std::vector<ObjectSize> objects;
  for (uint64_t i = 0; i < 3000; ++i)
    objects.push_back({Digest::Of(Cat(i)), i});
  LayerTree tree;
  tree.Seal();
  TempDir temp;
  std::string path = IndexPath(temp);
  ASSERT_TRUE(
      ReplaceFile(path, *LayerIndex::Encode(kDiffId, tree, objects), 0600, Durability::kVolatile));
  auto file = Open(path, O_RDONLY);
  size_t told = 0;
  auto scanned = LayerIndex::Scan(file->get(), kDiffId, LayerIndex::Trust::kVerify,
                                  [&](const ObjectSize& object) {
                                    ASSERT_LT(told, objects.size());
                                    EXPECT_EQ(object.digest, objects[told].digest);
                                    EXPECT_EQ(object.size, objects[told++].size);
                                  });
  EXPECT_TRUE(scanned);
  EXPECT_EQ(told, objects.size());
}

// With its entries as they are, as the first versions wrote them.
std::string Unpacked(const std::string& index) {
  size_t entries_at = 8 + Digest::kSize + 8 + 4 + 4 + (Digest::kSize + 8);
  StringSource packed(index.substr(entries_at, index.size() - Digest::kSize - entries_at));
  auto source = Decompress(packed, Compression::kGzip, Limits());
  std::string entries(4096, '\0');
  entries.resize(*(*source)->Read(std::as_writable_bytes(std::span(entries))));
  return WithNewChecksum(index.substr(0, entries_at) + entries + std::string(Digest::kSize, '\0'));
}

TEST(LayerIndex, EntriesMayBeUnpacked) {
  std::string index = Unpacked(Sample());
  EXPECT_GT(index.size(), Sample().size());
  auto tree = LayerIndex::Decode(index, kDiffId)->Tree();
  ASSERT_TRUE(tree) << tree.error().message();
  EXPECT_EQ(*LayerIndex::Encode(kDiffId, *tree, {{{Digest::Of("text"), 4}}}), Sample());
}

// With a checksum that was made to match: an error or a tree, never a crash.
TEST(LayerIndex, NonsenseWithARightChecksum) {
  for (const std::string& good : {Sample(), Unpacked(Sample())}) {
    std::mt19937 random(7);
    size_t refused = 0;
    for (int round = 0; round < 20'000; ++round) {
      std::string bad = good;
      for (auto changes = 1 + random() % 3; changes > 0; --changes)
        bad[random() % (bad.size() - Digest::kSize)] = static_cast<char>(random());
      auto index = LayerIndex::Decode(WithNewChecksum(bad), kDiffId);
      if (!index || !index->Tree())
        ++refused;
    }
    EXPECT_GT(refused, 10'000u);
  }
}

}  // namespace
}  // namespace wherry::store
