// Damage of every kind, found and healed, in each tier.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

class Sink final : public CheckSink {
 public:
  bool OnDamage(const Damage& damage) override {
    damages.push_back(damage);
    return go_on;
  }
  bool OnProgress(const CheckCount&) override { return go_on; }
  std::vector<Damage> damages;
  bool go_on = true;
};

class CheckTest : public EachTier {
 protected:
  bool Images() const { return tier_ != Tier::kDirectories; }

  std::vector<Damage> Check(CheckDepth depth = CheckDepth::kContent) {
    Sink sink;
    auto count = store_->Check(depth, sink);
    EXPECT_TRUE(count) << count.error().message();
    EXPECT_TRUE(!count || count->damaged == sink.damages.size());
    return sink.damages;
  }
  void ExpectSound() {
    for (const Damage& damage : Check())
      ADD_FAILURE() << damage.path << ": " << damage.what;
  }
  // Takes in what counts as absent, as a pull does.
  void Refetch(const std::vector<std::string>& layers) {
    auto digest = PullInto(*store_, layers, {});
    ASSERT_TRUE(digest) << digest.error().message();
    auto root = store_->Root(*digest);
    ASSERT_TRUE(root) << root.error().message();
  }
  std::string ObjectOf(const std::string& layer) {
    return "obj/" + ObjectPath(Digest::Of(Body(layer)));
  }
  void Flip(const std::string& name, size_t offset, int bit = 0) {
    std::string content = Content(Path(name));
    ASSERT_LT(offset, content.size()) << name;
    UniqueFd fd = *Open(Path(name), O_WRONLY);
    struct stat info = Lstat(Path(name));
    char byte = static_cast<char>(content[offset] ^ (1 << bit));
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    timespec times[2] = {info.st_atim, info.st_mtim};  // the medium changes no times
    ASSERT_EQ(futimens(fd.get(), times), 0);
  }
};

TEST_P(CheckTest, SoundStore) {
  EXPECT_TRUE(Check().empty());
  Digest digest = Pull({"one", "two"}, {"x:1"});
  Pull({"one", "three"}, {"x:2"});
  ASSERT_TRUE(store_->Root(digest));
  ExpectSound();
  EXPECT_TRUE(Check(CheckDepth::kSizes).empty());
  EXPECT_TRUE(store_->Sound(digest));
}

TEST_P(CheckTest, CanBeCancelled) {
  Pull({"one"}, {"x:1"});
  Sink sink;
  sink.go_on = false;
  EXPECT_EQ(store_->Check(CheckDepth::kContent, sink).error().code(), Errc::kCancelled);
}

TEST_P(CheckTest, FlippedObjectIsFoundAndHealed) {
  Digest hit = Pull({"one", "two"}, {"x:1"});
  Digest other = Pull({"one", "three"}, {"x:2"});
  Flip(ObjectOf("two"), 500);
  auto found = Check();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, DamageKind::kObject);
  EXPECT_EQ(found[0].path, ObjectOf("two"));
  EXPECT_EQ(found[0].images, std::vector<Digest>{hit});
  EXPECT_TRUE(Check(CheckDepth::kSizes).empty());
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_FALSE(store_->HasLayer(DiffId("two")));
  EXPECT_TRUE(store_->HasLayer(DiffId("one")));
  auto root = store_->Root(hit);
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().code(), Errc::kCorrupt);
  EXPECT_NE(root.error().message().find(Digest::Of(Body("two")).string()), std::string::npos);
  EXPECT_NE(root.error().message().find("--repair"), std::string::npos);
  EXPECT_TRUE(store_->Root(other));
  EXPECT_TRUE(store_->HasQuarantine());
  EXPECT_EQ(store_->Images().size(), 2u);
  Refetch({"one", "two"});
  EXPECT_FALSE(store_->HasQuarantine());
  EXPECT_EQ(Content(Path(ObjectOf("two"))), Body("two"));
  ExpectSound();
  if (!Images()) {
    EXPECT_EQ(Content(Path("tree/" + DiffId("two").hex() + "/two")), Body("two"));
  }
  EXPECT_TRUE(ListDir(Path("txn"))->empty());
}

TEST_P(CheckTest, ShortAndMissingObjectsAreFoundByTheirSizes) {
  Digest digest = Pull({"one", "two"}, {"x:1"});
  ASSERT_EQ(truncate(Path(ObjectOf("one")).c_str(), 3), 0);
  ASSERT_EQ(unlink(Path(ObjectOf("two")).c_str()), 0);
  auto found = Check(CheckDepth::kSizes);
  ASSERT_EQ(found.size(), 2u);
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_EQ(store_->Sound(digest).error().code(), Errc::kCorrupt);
  Refetch({"one", "two"});
  ExpectSound();
}

// One layer that is fetched again heals every other one that lacks the same object.
TEST_P(CheckTest, SharedObjectsAreFetchedOnce) {
  std::string tar = TarBuilder().File("copy", Body("one")).File("more", "x").Done();
  StringSource source(tar);
  auto transaction = *store_->Begin();
  ASSERT_TRUE(transaction->AddLayer({.source = &source, .diff_id = Digest::Of(tar)}, {}));
  ASSERT_TRUE(transaction->Commit({"m", "application/test", "c", {Digest::Of(tar)}}, {"y:1"}));
  transaction.reset();
  Pull({"one"}, {"x:1"});
  Flip(ObjectOf("one"), 1);
  auto found = Check();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].images.size(), 2u);
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_FALSE(store_->HasLayer(Digest::Of(tar)));
  Refetch({"one"});
  EXPECT_TRUE(store_->HasLayer(Digest::Of(tar)));
  ExpectSound();
}

TEST_P(CheckTest, IndexAndArchive) {
  Digest digest = Pull({"one", "two"}, {"x:1"});
  std::string index = Content(Path("layer/" + DiffId("one").hex() + ".idx"));
  std::string archive = Content(Path("layer/" + DiffId("two").hex() + ".tar"));
  Flip("layer/" + DiffId("one").hex() + ".idx", 60);
  Flip("layer/" + DiffId("two").hex() + ".tar", archive.size() / 2);
  auto found = Check();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].images, std::vector<Digest>{digest});
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_FALSE(store_->Root(digest));
  Refetch({"one", "two"});
  ExpectSound();
  EXPECT_EQ(Content(Path("layer/" + DiffId("one").hex() + ".idx")), index);
  EXPECT_EQ(Content(Path("layer/" + DiffId("two").hex() + ".tar")), archive);
  Reopen();
  EXPECT_TRUE(notices_.empty());
  ExpectSound();
}

TEST_P(CheckTest, MetadataImagesAndTreesAreMadeAgain) {
  Digest digest = Pull({"one", "two"}, {"x:1"});
  ASSERT_TRUE(store_->Root(digest));
  size_t cases = Images() ? 1 : 5;
  for (size_t i = 0; i < cases; ++i) {
    std::string tree = Path("tree/" + DiffId("one").hex());
    if (Images()) {
      std::string image;
      auto names = ListDir(Path("layer"));
      for (const std::string& name : *names)
        image = name.ends_with(".erofs") ? name : image;
      Flip("layer/" + image, Content(Path("layer/" + image)).size() - 1);
    } else if (i == 0) {
      ASSERT_EQ(chmod(tree.c_str(), 0700), 0);
    } else if (i == 1) {
      ASSERT_EQ(unlink((tree + "/one").c_str()), 0);
    } else if (i == 2) {
      ASSERT_EQ(mkdir((tree + "/extra").c_str(), 0755), 0);
    } else if (i == 3) {
      ASSERT_EQ(unlink((tree + "/one").c_str()), 0);
      ASSERT_EQ(mkdir((tree + "/one").c_str(), 0755), 0);
    } else {
      ASSERT_EQ(unlink((tree + "/one").c_str()), 0);
      ASSERT_EQ(symlink("elsewhere", (tree + "/one").c_str()), 0);
    }
    auto found = Check();
    ASSERT_EQ(found.size(), 1u) << i;
    EXPECT_EQ(found[0].kind, Images() ? DamageKind::kMetadata : DamageKind::kTree);
    EXPECT_EQ(found[0].images, std::vector<Digest>{digest});
    ASSERT_TRUE(store_->SetAside(found));
    EXPECT_TRUE(store_->Root(digest));
    ExpectSound();
  }
}

TEST_P(CheckTest, RecordAndNames) {
  Digest digest = Pull({"one"}, {"x:1"});
  Flip("img/" + digest.hex(), 90);
  Flip("refs", 80);
  auto found = Check();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].kind, DamageKind::kRefs);
  EXPECT_EQ(found[1].kind, DamageKind::kRecord);
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_EQ(store_->Sound(digest).error().code(), Errc::kCorrupt);
  Refetch({"one"});
  ExpectSound();
  EXPECT_TRUE(store_->Sound(digest));
  Reopen();
  EXPECT_TRUE(notices_.empty());
  EXPECT_EQ(store_->Resolve("x:1"), digest);
}

// What cannot be repaired now stays known for as long as it takes.
TEST_P(CheckTest, QuarantineOutlivesTheDaemon) {
  Digest digest = Pull({"one"}, {"x:1"});
  Flip(ObjectOf("one"), 9);
  ASSERT_TRUE(store_->SetAside(Check()));
  Reopen();
  EXPECT_TRUE(store_->HasQuarantine());
  auto found = Check(CheckDepth::kSizes);
  ASSERT_EQ(found.size(), 1u);
  ASSERT_TRUE(store_->SetAside(found));
  EXPECT_EQ(store_->Root(digest).error().code(), Errc::kCorrupt);
  Refetch({"one"});
  EXPECT_FALSE(store_->HasQuarantine());
}

TEST_P(CheckTest, DamagedImagesCanBeRemoved) {
  Digest digest = Pull({"one", "two"}, {"x:1"});
  Pull({"three"}, {"x:2"});
  Flip("layer/" + DiffId("one").hex() + ".idx", 60);
  Flip(ObjectOf("two"), 9);
  ASSERT_TRUE(store_->SetAside(Check()));
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  auto removed = store_->Collect({digest}, {});
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->layers.size(), 2u);
  ExpectClean(1);
  ExpectSound();
}

// Another image's index that cannot be read tells nothing of what it needs: nothing may go.
TEST_P(CheckTest, ObjectsStayWhileAnIndexCannotBeRead) {
  Digest digest = Pull({"one"}, {"x:1"});
  Pull({"two"}, {"x:2"});
  Flip("layer/" + DiffId("two").hex() + ".idx", 60);
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  auto removed = store_->Collect({digest}, {});
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(Layers(), 1u);
  EXPECT_EQ(ObjectCount(), 2u);
  ASSERT_TRUE(store_->SetAside(Check()));
  Refetch({"two"});
  ASSERT_TRUE(store_->Collect({}, {}));
  ExpectClean(1);
}

// A random bit of a random file, many times: all are found, all are healed.
TEST_P(CheckTest, RandomFlips) {
  std::vector<std::string> layers;
  for (int i = 0; i < 20; ++i)
    layers.push_back(Cat("layer", i));
  Digest digest = Pull(layers, {"x:1"});
  std::mt19937 random(7);
  for (int round = 0; round < 10; ++round) {
    std::set<std::string> hit;
    for (int i = 0; i < 8; ++i) {
      const std::string& layer = layers[random() % layers.size()];
      std::string name =
          random() % 3 == 0 ? "layer/" + DiffId(layer).hex() + ".idx" : ObjectOf(layer);
      if (hit.insert(name).second)
        Flip(name, random() % Content(Path(name)).size(), random() % 8);
    }
    for (int again = 0; again < 3; ++again) {
      auto found = Check();
      if (found.empty())
        break;
      for (const Damage& damage : found)
        hit.erase(damage.path);
      ASSERT_TRUE(store_->SetAside(found));
      Refetch(layers);
    }
    EXPECT_TRUE(hit.empty()) << *hit.begin();
    ExpectSound();
  }
  EXPECT_TRUE(store_->Sound(digest));
}

TEST_P(CheckTest, UsageAddsUp) {
  Digest first = Pull({"one", "two"}, {"x:1"});
  Digest second = Pull({"one", "three"}, {"x:2"});
  ASSERT_TRUE(store_->Root(first));
  auto usage = store_->Measure();
  ASSERT_TRUE(usage) << usage.error().message();
  ASSERT_EQ(usage->images.size(), 2u);
  for (const ImageUsage& image : usage->images) {
    EXPECT_GT(image.unique_bytes, 0u);
    EXPECT_GT(image.size_bytes, image.unique_bytes);
    EXPECT_GT(usage->total_bytes, image.size_bytes);
  }
  uint64_t before = usage->total_bytes;
  uint64_t unique = usage->images[0].manifest_digest == second ? usage->images[0].unique_bytes
                                                               : usage->images[1].unique_bytes;
  ASSERT_TRUE(store_->RemoveRefs({"x:2"}));
  auto removed = store_->Collect({second}, {});
  ASSERT_TRUE(removed);
  EXPECT_GT(removed->freed_bytes, 0u);
  uint64_t after = store_->Measure()->total_bytes;
  EXPECT_NEAR(static_cast<double>(before - after), static_cast<double>(unique), 8192);
}

// Cannot replace files until something has been removed.
class FullOps final : public DiskOps {
 public:
  Result<> ReplaceFile(int dir, const std::string& name, std::string_view content) override {
    return full ? Fail(Errc::kNoSpace, "no space left on device")
                : DiskOps::ReplaceFile(dir, name, content);
  }
  Result<> RemoveFile(int dir, const std::string& name) override {
    full = full && !frees;
    return DiskOps::RemoveFile(dir, name);
  }
  bool full = false;
  bool frees = true;
};

TEST_P(CheckTest, FullFileSystemCanBeCleared) {
  FullOps ops;
  store_.reset();
  OpenStore(ops);
  Digest digest = Pull({"one"}, {"x:1"});
  Pull({"two"}, {"x:2"});
  ops.full = true;
  EXPECT_EQ(store_->SetRef("x:3", digest).error().code(), Errc::kNoSpace);
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  auto removed = store_->Collect({digest}, {});
  ASSERT_TRUE(removed) << removed.error().message();
  ExpectClean(1);
  Reopen();
  EXPECT_TRUE(notices_.empty());
  EXPECT_FALSE(store_->Resolve("x:1"));
}

// When nothing could be freed the names are not saved, and that is said.
TEST_P(CheckTest, NamesThatCannotBeSavedAreAnError) {
  FullOps ops;
  store_.reset();
  OpenStore(ops);
  Digest digest = Pull({"one"}, {"x:1", "x:2"});
  ops.full = true;
  ops.frees = false;
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  EXPECT_EQ(store_->Collect({}, {}).error().code(), Errc::kNoSpace);
  store_.reset();
  OpenStore();
  EXPECT_EQ(store_->Resolve("x:1"), digest);
}

INSTANTIATE_TEST_SUITE_P(Tiers, CheckTest,
                         testing::Values(Tier::kDirectories, Tier::kImage, Tier::kImageDataOnly),
                         [](const auto& test) { return std::string(TierName(test.param)); });

}  // namespace
}  // namespace wherry::store
