// Images that come with the device: found, used and repaired without a write to their store.
#include "store/factory.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/store/power_ops.h"
#include "tests/unit/store/snapshot.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

class DamageSink final : public CheckSink {
 public:
  bool OnDamage(const Damage& damage) override {
    damages.push_back(damage);
    return true;
  }
  bool OnProgress(const CheckCount&) override { return true; }
  std::vector<Damage> damages;
};

class FactoryTest : public EachTier {
 protected:
  // The store that has been filled becomes the factory store of a new one.
  void SetUp() override {
    EachTier::SetUp();
    if (!store_)
      return;
    made_ = Pull({"base", "app"}, {"x:1", "app:1"});
    ASSERT_TRUE(store_->Root(made_));
    store_.reset();
    factory_ = temp_ / "factory";
    ASSERT_EQ(rename(Path("").c_str(), factory_.c_str()), 0);
    Look(factory_, "", before_);
    OpenStore();
  }
  void TearDown() override {
    store_.reset();
    if (before_.empty())
      return;
    Snapshot after;
    Look(factory_, "", after);
    EXPECT_EQ(after, before_);
  }
  std::string Factory(const std::string& name) const { return Cat(factory_, "/", name); }
  std::string ObjectOf(const std::string& layer) const {
    return "obj/" + ObjectPath(Digest::Of(Body(layer)));
  }
  bool HereIs(const std::string& layer) const { return PathExists(Path(ObjectOf(layer))); }
  // A cell of the medium dies.
  void Flip(const std::string& path) {
    struct stat info = Lstat(path);
    {
      UniqueFd fd = *Open(path, O_RDWR);
      char byte = 0;
      ASSERT_EQ(pread(fd.get(), &byte, 1, info.st_size / 2), 1);
      byte = static_cast<char>(byte ^ 1);
      ASSERT_EQ(pwrite(fd.get(), &byte, 1, info.st_size / 2), 1);
      timespec times[2] = {info.st_atim, info.st_mtim};
      ASSERT_EQ(futimens(fd.get(), times), 0);
    }
    before_.clear();
    Look(factory_, "", before_);
  }
  std::vector<Damage> Check(CheckDepth depth = CheckDepth::kContent) {
    DamageSink sink;
    EXPECT_TRUE(store_->Check(depth, sink));
    return sink.damages;
  }
  std::string ArchiveOf(const std::string& layer) {
    auto archive = store_->OpenLayer(DiffId(layer));
    auto content = archive ? ReadToEnd(**archive) : Result<std::string>("");
    return content ? *content : "";
  }

  Digest made_;
  Snapshot before_;
};

TEST_P(FactoryTest, ImagesAreThereWithoutAWrite) {
  EXPECT_TRUE(notices_.empty()) << notices_[0];
  EXPECT_EQ(store_->Resolve("x:1"), made_);
  EXPECT_EQ(store_->Images(), std::vector<Digest>{made_});
  ASSERT_TRUE(store_->Find(made_));
  EXPECT_TRUE(store_->IsFactoryOnly(made_));
  auto root = store_->Root(made_);
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_TRUE((root->lower.empty() ? root->image : root->lower[0]).starts_with(factory_));
  EXPECT_EQ(ArchiveOf("app"), LayerTar("app"));
  EXPECT_TRUE(Check().empty());
  EXPECT_EQ(Pull({"base", "app"}, {"x:1"}), made_);
  ExpectClean(0);
  EXPECT_EQ(store_->written().content + store_->written().metadata, 0u);
}

TEST_P(FactoryTest, WhatItHasIsNotWrittenAgain) {
  Digest fresh = Pull({"base", "new"}, {"x:1"});
  EXPECT_EQ(store_->Resolve("x:1"), fresh);  // the name is ours now
  EXPECT_EQ(store_->Resolve("app:1"), made_);
  EXPECT_FALSE(HereIs("base"));
  EXPECT_TRUE(HereIs("new"));
  EXPECT_EQ(ArchiveOf("base"), LayerTar("base"));
  store_->SetChecked();
  Reopen();
  EXPECT_TRUE(notices_.empty()) << notices_[0];
  EXPECT_TRUE(store_->IsUntouched());
  EXPECT_EQ(store_->Resolve("x:1"), fresh);
  EXPECT_TRUE(store_->Root(fresh));
  EXPECT_TRUE(Check().empty());
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  ASSERT_TRUE(store_->Collect({fresh, made_}, {}));
  ExpectClean(0);
  EXPECT_EQ(store_->Resolve("x:1"), made_);  // as the device came
}

TEST_P(FactoryTest, ItsImagesStay) {
  ASSERT_TRUE(store_->RemoveRefs({"x:1", "app:1"}));
  auto collected = store_->Collect({made_}, {});
  ASSERT_TRUE(collected);
  EXPECT_TRUE(collected->images.empty());
  EXPECT_EQ(store_->Resolve("app:1"), made_);
  for (const Ref& ref : store_->Refs())
    EXPECT_TRUE(ref.factory);
}

// A name of ours makes the image ours: it does not get lost with the factory store.
TEST_P(FactoryTest, NamedImageIsKeptWithItsIndexes) {
  ASSERT_TRUE(store_->SetRef("mine:1", made_));
  EXPECT_FALSE(store_->IsFactoryOnly(made_));
  EXPECT_EQ(Layers(), 2u);
  EXPECT_EQ(ObjectCount(), 0u);
  Reopen();
  EXPECT_EQ(store_->Resolve("mine:1"), made_);
  std::string factory = std::exchange(factory_, "");
  Reopen();
  EXPECT_EQ(store_->Resolve("mine:1"), made_);
  EXPECT_FALSE(store_->IsUntouched());
  std::vector<Damage> damages = Check(CheckDepth::kSizes);
  EXPECT_EQ(damages.size(), 2u);
  ASSERT_TRUE(store_->SetAside(damages));
  EXPECT_FALSE(store_->Root(made_));
  Pull({"base", "app"}, {});  // fetches what was only there
  EXPECT_EQ(ObjectCount(), 2u);
  EXPECT_TRUE(store_->Root(made_));
  EXPECT_TRUE(Check().empty());
  factory_ = factory;
  Reopen();
  ASSERT_TRUE(store_->RemoveRefs({"mine:1"}));
  ASSERT_TRUE(store_->Collect({made_}, {}));
  ExpectClean(0);
  EXPECT_TRUE(store_->Root(made_));
}

// Every step of a pull that takes a layer of the factory store over fails; another one succeeds.
TEST_P(FactoryTest, FailureAtEachStep) {
  for (bool after : {false, true}) {
    for (size_t step = 0;; ++step) {
      SCOPED_TRACE(Cat("step ", step, after ? ", done" : ""));
      store_.reset();
      ASSERT_TRUE(RemoveTree(Path("")));
      PowerOps ops(temp_ / "graveyard");
      OpenStore(ops);
      ops.steps.clear();
      ops.fail_at = step;
      ops.fail_after = after;
      auto named = PullInto(*store_, {"base", "new"}, {"x:1"});
      bool last = ops.steps.size() <= step;
      bool again = named || PullInto(*store_, {"base", "new"}, {"x:1"});
      EXPECT_TRUE(again);
      store_.reset();
      OpenStore();
      EXPECT_NE(store_->Resolve("x:1"), made_);
      for (const Digest& image : store_->Images())
        EXPECT_TRUE(store_->Root(image));
      EXPECT_TRUE(Check().empty());
      EXPECT_EQ(Layers(), 2u);
      EXPECT_EQ(ObjectCount(), 1u);
      if (last || HasFatalFailure())
        break;
    }
  }
}

TEST_P(FactoryTest, PowerCutAtEachStep) {
  std::mt19937 random(1);
  for (size_t step = 0;; ++step) {
    SCOPED_TRACE(Cat("step ", step));
    store_.reset();
    ASSERT_TRUE(RemoveTree(Path("")));
    PowerOps ops(temp_ / "graveyard");
    OpenStore(ops);
    ops.steps.clear();
    ops.cut_at = step;
    auto named = PullInto(*store_, {"base", "new"}, {"x:1"});
    bool last = ops.steps.size() <= step;
    store_.reset();
    ops.LosePower(random);
    OpenStore();
    ASSERT_TRUE(store_);
    if (named) {
      EXPECT_EQ(store_->Resolve("x:1"), *named);
    }
    for (const Digest& image : store_->Images())
      EXPECT_TRUE(store_->Root(image));
    EXPECT_TRUE(Check().empty());
    size_t own = store_->Images().size() - 1;
    EXPECT_EQ(Layers(), own * 2);
    EXPECT_EQ(ObjectCount(), own);
    if (last || HasFatalFailure())
      break;
  }
}

TEST_P(FactoryTest, DamageIsRepairedInOurStore) {
  Flip(Factory(ObjectOf("base")));
  std::vector<Damage> damages = Check();
  ASSERT_FALSE(damages.empty());
  EXPECT_EQ(damages[0].path, Factory(ObjectOf("base")));
  EXPECT_EQ(damages[0].images, std::vector<Digest>{made_});
  ASSERT_TRUE(store_->SetAside(damages));
  EXPECT_FALSE(store_->HasLayer(DiffId("base")));
  auto root = store_->Root(made_);
  ASSERT_FALSE(root);
  EXPECT_EQ(root.error().code(), Errc::kCorrupt);
  EXPECT_EQ(Pull({"base", "app"}, {}), made_);
  EXPECT_TRUE(HereIs("base"));
  EXPECT_FALSE(HereIs("app"));
  EXPECT_TRUE(Check().empty());
  Reopen();
  EXPECT_TRUE(store_->Root(made_));
  EXPECT_TRUE(Check().empty());
}

TEST_P(FactoryTest, DamagedMetadataIsMadeHere) {
  if (tier_ == Tier::kDirectories)
    GTEST_SKIP() << "tier B has no metadata images";
  Flip(Factory(Cat("layer/", ChainId(store_->Find(made_)->layers).hex(), ".erofs")));
  std::vector<Damage> damages = Check();
  ASSERT_EQ(damages.size(), 1u);
  ASSERT_TRUE(store_->SetAside(damages));
  auto root = store_->Root(made_);
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_TRUE(root->image.starts_with(Path("")));
  EXPECT_TRUE(Check().empty());
  Reopen();
  EXPECT_TRUE(Check().empty());
  EXPECT_TRUE(store_->Root(made_)->image.starts_with(Path("")));
}

TEST_P(FactoryTest, WhatCannotBeUsedIsLeftOut) {
  struct Case {
    const char* name;
    std::string content;
    const char* notice;
    bool images;
  };
  for (const Case& damage :
       {Case{"VERSION", "2\n", "store format 2", false}, Case{"VERSION", "x", "is not used", false},
        Case{"refs", "x", "names of the factory store", true}}) {
    std::string was = Content(Factory(damage.name));
    ASSERT_TRUE(ReplaceFile(Factory(damage.name), damage.content, 0600, Durability::kVolatile));
    Reopen();
    EXPECT_TRUE(Noticed(damage.notice)) << damage.notice;
    EXPECT_EQ(store_->Resolve("app:1").has_value(), damage.images);
    EXPECT_EQ(store_->Find(made_) != nullptr, damage.images);
    ASSERT_TRUE(ReplaceFile(Factory(damage.name), was, 0600, Durability::kVolatile));
  }
  std::string record = Factory(Cat("img/", made_.hex()));
  std::string was = Content(record);
  ASSERT_TRUE(ReplaceFile(record, "x", 0600, Durability::kVolatile));
  Reopen();
  EXPECT_TRUE(Noticed("is damaged and not available"));
  EXPECT_FALSE(store_->Resolve("x:1"));
  ASSERT_TRUE(ReplaceFile(record, was, 0600, Durability::kVolatile));
  factory_ = temp_ / "absent";
  Reopen();
  EXPECT_TRUE(Noticed("is not used"));
  before_.clear();
}

INSTANTIATE_TEST_SUITE_P(Tiers, FactoryTest,
                         testing::Values(Tier::kImageDataOnly, Tier::kImage, Tier::kDirectories),
                         [](const auto& test) { return std::string(TierName(test.param)); });

}  // namespace
}  // namespace wherry::store
