#include "store/layer_index.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/text.h"
#include "store/tar_reader.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

const Digest kDiffId = Digest::Of("a layer");

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
  return LayerIndex::Encode(kDiffId, tree, std::vector<ObjectSize>{{Digest::Of("text"), 4}});
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

// With a checksum that was made to match: an error or a tree, never a crash.
TEST(LayerIndex, NonsenseWithARightChecksum) {
  std::string good = Sample();
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

}  // namespace
}  // namespace wherry::store
