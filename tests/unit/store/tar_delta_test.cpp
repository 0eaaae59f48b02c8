#include "store/tar_delta.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/delta_builder.h"
#include "tests/unit/store/store_fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

const std::map<std::string, std::string> kFiles = {{"usr/bin/app", "0123456789"}, {"empty", ""}};

Result<std::string> Apply(std::string delta, size_t step = 1 << 20, Limits limits = {}) {
  StringSource source(std::move(delta), step);
  TarDeltaSource applied(source, std::make_unique<MemoryFiles>(kFiles), limits);
  return ReadToEnd(applied);
}

// The error says `part`; with a complete delta as well as byte by byte.
void ExpectRefused(const std::string& delta, Errc code, std::string_view part) {
  for (size_t step : {size_t{1} << 20, size_t{1}}) {
    auto result = Apply(delta, step);
    ASSERT_FALSE(result) << part;
    EXPECT_EQ(result.error().code(), code) << result.error().message();
    EXPECT_NE(result.error().message().find(part), std::string::npos) << result.error().message();
  }
}

TEST(TarDelta, AppliesEachOperation) {
  std::string delta = DeltaBuilder()
                          .Data("head ")
                          .Open("usr/bin/app")
                          .Copy(3)
                          .Seek(8)
                          .Copy(2)
                          .Data("|")
                          .Seek(0)
                          .AddData(std::string("\x01\x00\xff", 3))
                          .Copy(1)
                          .Seek(10)
                          .Copy(0)
                          .Open("empty")
                          .Copy(0)
                          .Data("")
                          .Data(" end")
                          .Done();
  EXPECT_EQ(*Apply(delta), "head 01289|1113 end");
  EXPECT_EQ(*Apply(delta, 1), "head 01289|1113 end");
  EXPECT_EQ(*Apply(DeltaBuilder().Done()), "");
}

TEST(TarDelta, AppliesLongOperations) {
  std::string data(300'000, '\0');
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<char>(i * i >> 3);
  std::string sum(data.size(), '\0');
  for (size_t i = 0; i < data.size(); ++i)
    sum[i] = static_cast<char>(data[i] + data[i]);
  std::string delta =
      DeltaBuilder().Data(data).Open("f").AddData(data).Seek(0).Copy(data.size()).Done();
  StringSource source(delta, 7777);
  TarDeltaSource applied(
      source, std::make_unique<MemoryFiles>(std::map<std::string, std::string>{{"f", data}}), {});
  EXPECT_TRUE(*ReadToEnd(applied) == data + sum + data);
}

TEST(TarDelta, RefusesAnotherFormat) {
  std::string whole = DeltaBuilder().Data("x").Done();
  ExpectRefused("", Errc::kInvalid, "no delta");
  ExpectRefused("tardf1", Errc::kInvalid, "no delta");
  ExpectRefused("tardf2\n" + whole.substr(7), Errc::kInvalid, "no delta");
  ExpectRefused(whole.substr(0, 8), Errc::kCorrupt, "zstd");
  ExpectRefused(std::string(kTarDeltaMagic) + Gzip("x"), Errc::kCorrupt, "zstd");
  ExpectRefused(std::string(kTarDeltaMagic) + "\x5a plain text", Errc::kCorrupt, "zstd");
}

TEST(TarDelta, RefusesTruncation) {
  std::string whole =
      DeltaBuilder().Data(std::string(5000, 'x')).Open("usr/bin/app").Copy(3).Done();
  for (size_t length = 8; length < whole.size(); ++length)
    EXPECT_FALSE(Apply(whole.substr(0, length))) << length;
  const std::string ops = DeltaBuilder().Data("four").ops();
  for (size_t length = 1; length < ops.size(); ++length)
    ExpectRefused(DeltaBuilder().Raw(ops.substr(0, length)).Done(), Errc::kCorrupt,
                  "ends too early");
  ExpectRefused(DeltaBuilder().Op(1, 5, "usr").Done(), Errc::kCorrupt, "ends too early");
  ExpectRefused(DeltaBuilder().Open("usr/bin/app").Op(3, 5, "usr").Done(), Errc::kCorrupt,
                "ends too early");
}

TEST(TarDelta, RefusesWhatFollowsTheStream) {
  ExpectRefused(DeltaBuilder().Data("x").Done() + "more", Errc::kCorrupt, "something else follows");
}

TEST(TarDelta, RefusesUnknownOperations) {
  ExpectRefused(DeltaBuilder().Op(5, 0).Done(), Errc::kInvalid, "unknown operation (5)");
  ExpectRefused(DeltaBuilder().Op(255, 0).Done(), Errc::kInvalid, "unknown operation (255)");
}

TEST(TarDelta, RefusesSizesOutOfRange) {
  const std::string eleven(11, '\xff');
  ExpectRefused(DeltaBuilder().Raw(std::string(1, '\0') + eleven).Done(), Errc::kInvalid,
                "out of range");
  ExpectRefused(DeltaBuilder().Raw(std::string(1, '\0') + std::string(9, '\x80') + "\x02").Done(),
                Errc::kInvalid, "out of range");
  ExpectRefused(DeltaBuilder().Op(0, UINT64_MAX, "x").Done(), Errc::kCorrupt, "ends too early");
  ExpectRefused(DeltaBuilder().Op(1, UINT64_MAX, "x").Done(), Errc::kInvalid, "too long");
  ExpectRefused(DeltaBuilder().Op(1, 4001, std::string(4001, 'a')).Done(), Errc::kInvalid,
                "too long");
}

TEST(TarDelta, RefusesReadsOutsideTheFile) {
  auto open = [] { return DeltaBuilder().Open("usr/bin/app"); };
  ExpectRefused(open().Copy(11).Done(), Errc::kInvalid, "beyond the end");
  ExpectRefused(open().Copy(UINT64_MAX).Done(), Errc::kInvalid, "beyond the end");
  ExpectRefused(open().Copy(9).Copy(2).Done(), Errc::kInvalid, "beyond the end");
  ExpectRefused(open().Seek(11).Done(), Errc::kInvalid, "beyond the end");
  ExpectRefused(open().Seek(UINT64_MAX).Done(), Errc::kInvalid, "beyond the end");
  ExpectRefused(open().Seek(9).AddData("ab").Done(), Errc::kInvalid, "beyond the end");
}

TEST(TarDelta, RefusesReadsWithoutAFile) {
  ExpectRefused(DeltaBuilder().Copy(1).Done(), Errc::kInvalid, "before it has opened");
  ExpectRefused(DeltaBuilder().AddData("x").Done(), Errc::kInvalid, "before it has opened");
  ExpectRefused(DeltaBuilder().Seek(0).Done(), Errc::kInvalid, "before it has opened");
  ExpectRefused(DeltaBuilder().Open("absent").Done(), Errc::kInvalid, "'absent'");
  ExpectRefused(DeltaBuilder().Open("").Done(), Errc::kInvalid, "old layer's file ''");
}

TEST(TarDelta, BoundsTheNumberOfFiles) {
  DeltaBuilder builder;
  for (int i = 0; i < 30; ++i)
    builder.Open("empty");
  Limits limits;
  limits.max_layer_entries = 20;
  EXPECT_TRUE(Apply(builder.Done()));
  auto result = Apply(builder.Done(), 1 << 20, limits);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kInvalid);
}

TEST(TarDelta, RefusesLargeWindows) {
  std::string ops = DeltaBuilder().Data(std::string(100, 'x')).ops();
  auto result = Apply(std::string(kTarDeltaMagic) + Zstd(ops, 3, 24));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kUnsupported);
  EXPECT_NE(result.error().message().find("window"), std::string::npos);
}

TEST(TarDelta, SurvivesMutations) {
  std::string whole = DeltaBuilder()
                          .Data(std::string(200, 'x'))
                          .Open("usr/bin/app")
                          .AddData("abc")
                          .Seek(2)
                          .Copy(5)
                          .ops();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string ops = whole;
      ops[at] = static_cast<char>(ops[at] ^ 1 << bit);
      (void)Apply(DeltaBuilder().Raw(ops).Done());
    }
  }
  std::string delta = DeltaBuilder().Raw(whole).Done();
  for (size_t at = 0; at < delta.size(); ++at) {
    delta[at] = static_cast<char>(delta[at] ^ 0x55);
    (void)Apply(delta);
    delta[at] = static_cast<char>(delta[at] ^ 0x55);
  }
}

// --- Against layers of a store

class StoreDelta : public EachTier {
 protected:
  // An image of this one layer.
  Digest AddImage(const std::string& tar) {
    Digest diff_id = Digest::Of(tar);
    auto transaction = store_->Begin();
    StringSource source(tar);
    auto added = (*transaction)->AddLayer({&source, Compression::kNone, {}, {}, diff_id}, {});
    EXPECT_TRUE(added) << added.error().message();
    auto committed =
        (*transaction)
            ->Commit({Cat("manifest ", diff_id.hex()), "application/test", "c", {diff_id}}, {});
    EXPECT_TRUE(committed) << committed.error().message();
    return diff_id;
  }

  Result<LayerInfo> AddByDelta(Transaction& transaction, const Digest& from, std::string delta,
                               const Digest& to) {
    StringSource source(std::move(delta));
    auto archive = TRY(store_->ApplyDelta(from, source));
    return transaction.AddLayer({archive.get(), Compression::kNone, {}, {}, to}, {});
  }
};

INSTANTIATE_TEST_SUITE_P(Tiers, StoreDelta,
                         testing::Values(Tier::kDirectories, Tier::kImageDataOnly),
                         [](const auto& tier) { return std::string(TierName(tier.param)); });

TEST_P(StoreDelta, MakesTheNewLayerFromTheOld) {
  const std::string big = Body("big");
  Digest from = AddImage(TarBuilder()
                             .Dir("usr/")
                             .Dir("usr/lib/")
                             .Symlink("lib", "usr/lib")
                             .File("./usr/lib/big", big)
                             .File("lib/through", "short")
                             .Hardlink("other", "usr/lib/big")
                             .Done());
  std::string grown = big + "more";
  std::string tar = TarBuilder().File("new", grown).File("short", "short!").Done();
  size_t second = 512 + 3072 + 512;
  std::string delta = DeltaBuilder()
                          .Data(tar.substr(0, 512))
                          .Open("usr/lib/big")
                          .Copy(500)
                          .Open("other")
                          .Seek(500)
                          .Copy(big.size() - 500)
                          .Data(tar.substr(512 + big.size(), second - 512 - big.size()))
                          .Open("lib/through")
                          .Copy(5)
                          .Data(tar.substr(second + 5))
                          .Done();
  auto transaction = store_->Begin();
  auto added = AddByDelta(**transaction, from, delta, Digest::Of(tar));
  ASSERT_TRUE(added) << added.error().message();
  auto again = store_->OpenLayer(Digest::Of(tar));
  EXPECT_TRUE(*ReadToEnd(**again) == tar);
}

TEST_P(StoreDelta, AnotherArchiveThanPromisedLeavesNothing) {
  Digest from = AddImage(LayerTar("a"));
  size_t objects = ObjectCount();
  {
    auto transaction = store_->Begin();
    std::string tar = LayerTar("b");
    auto added = AddByDelta(**transaction, from, DeltaBuilder().Data(tar).Done(), DiffId("c"));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code(), Errc::kCorrupt) << added.error().message();
    // The same transaction then takes the layer itself.
    ASSERT_TRUE(AddLayer(**transaction, "c"));
  }
  EXPECT_EQ(Layers(), 1U);
  EXPECT_EQ(ObjectCount(), objects);
  EXPECT_TRUE(ListDir(Path("txn"))->empty());
}

TEST_P(StoreDelta, OnlyRegularFilesOfTheLayerCanBeRead) {
  Digest from = AddImage(
      TarBuilder().Dir("d/").Symlink("link", "f").File("f", Body("f")).File("d/.wh.x", "").Done());
  auto transaction = store_->Begin();
  for (const char* path :
       {"d", "link", "x", "d/x", "d/.wh.x", "/f", "../f", "d/../f", "f/", ".", "f/f"}) {
    auto added = AddByDelta(**transaction, from, DeltaBuilder().Open(path).Done(), DiffId("c"));
    ASSERT_FALSE(added) << path;
    EXPECT_EQ(added.error().code(), Errc::kInvalid) << path << ": " << added.error().message();
    EXPECT_NE(added.error().message().find(path), std::string::npos) << added.error().message();
  }
}

TEST_P(StoreDelta, DamagedObjectsAreNoticed) {
  Digest from = AddImage(LayerTar("a"));
  std::string object = Path("obj/" + ObjectPath(Digest::Of(Body("a"))));
  ASSERT_EQ(truncate(object.c_str(), 10), 0);
  auto transaction = store_->Begin();
  auto added =
      AddByDelta(**transaction, from, DeltaBuilder().Open("a").Copy(20).Done(), DiffId("c"));
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), Errc::kCorrupt) << added.error().message();
}

TEST_P(StoreDelta, NeedsTheOldLayer) {
  StringSource source(DeltaBuilder().Data("x").Done());
  auto archive = store_->ApplyDelta(DiffId("a"), source);
  ASSERT_FALSE(archive);
  EXPECT_EQ(archive.error().code(), Errc::kNotFound);
}

}  // namespace
}  // namespace wherry::store
