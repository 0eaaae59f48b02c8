// The order of the operations that make a commit durable, and what a failure or a power cut at each
// of them leaves behind.
#include "store/transaction.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/text.h"
#include "tests/unit/store/power_ops.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

class CommitTest : public EachTier {
 protected:
  void SetUp() override {
    EachTier::SetUp();
    if (store_)
      Fresh();
  }

  // An empty store, whose operations are recorded.
  void Fresh() {
    store_.reset();
    ASSERT_TRUE(RemoveTree(Path("")));
    ReopenWithoutFaults();
    ASSERT_TRUE(store_);
  }
  void ReopenWithoutFaults() {
    store_.reset();
    ops_.reset();
    ops_ = std::make_unique<PowerOps>(temp_ / "graveyard");
    OpenStore(*ops_);
  }

  // Every image that is there is complete, and reads back as it was.
  void ExpectImagesWhole() {
    std::set<Digest> layers;
    for (const Digest& digest : store_->Images()) {
      auto image = store_->Find(digest);
      ASSERT_TRUE(image);
      auto root = store_->Root(digest);
      EXPECT_TRUE(root) << root.error().message();
      for (const LayerInfo& layer : image->layers) {
        layers.insert(layer.diff_id);
        auto archive = store_->OpenLayer(layer.diff_id);
        ASSERT_TRUE(archive) << archive.error().message();
        auto content = ReadToEnd(**archive);
        ASSERT_TRUE(content) << content.error().message();
        auto size = store_->ArchiveSize(layer.diff_id);
        ASSERT_TRUE(size) << size.error().message();
        EXPECT_EQ(*size, content->size());
      }
    }
    ExpectClean(layers.size());
    for (const Ref& ref : store_->Refs())
      EXPECT_TRUE(store_->Find(ref.manifest_digest)) << ref.name;
  }

  std::unique_ptr<PowerOps> ops_;
};

TEST_P(CommitTest, Order) {
  Digest digest = Pull({"one", "two"}, {"x:1"});
  std::vector<std::string> steps = ops_->steps;
  auto sync = std::find(steps.begin(), steps.end(), "syncfs");
  ASSERT_NE(sync, steps.end());
  // Nothing gets its final name after the first sync but record and refs, and those in this order.
  EXPECT_EQ(std::vector<std::string>(sync + 1, steps.end()),
            (std::vector<std::string>{Cat("rename ", digest.hex()), "rename refs", "syncfs",
                                      "rmtree 1"}));
  for (const char* last : {".idx", ".tar"})
    EXPECT_TRUE(std::any_of(steps.begin(), sync, [&](const std::string& step) {
      return step == Cat("rename ", DiffId("two").hex(), last);
    }));
  ops_->steps.clear();
  ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
  ASSERT_TRUE(store_->Collect({digest}, {}));
  ASSERT_GT(ops_->steps.size(), 3u);
  EXPECT_EQ(std::vector<std::string>(ops_->steps.begin(), ops_->steps.begin() + 3),
            (std::vector<std::string>{"replace refs", Cat("remove ", digest.hex()), "fsync img"}));
  // While objects go, the index that tells of them is there.
  EXPECT_TRUE(ops_->steps.back().ends_with(".idx"));
}

TEST_P(CommitTest, NothingIsSyncedForWhatIsThere) {
  Digest digest = Pull({"one"}, {"x:1"});
  auto is_sync = [](const std::string& step) {
    return !step.starts_with("mkdir ") && !step.starts_with("rmtree ");
  };
  ops_->steps.clear();
  EXPECT_EQ(Pull({"one"}, {"x:1"}), digest);
  EXPECT_TRUE(std::none_of(ops_->steps.begin(), ops_->steps.end(), is_sync));
  ops_->steps.clear();
  Pull({"one"}, {"x:2"});
  EXPECT_EQ(std::count_if(ops_->steps.begin(), ops_->steps.end(), is_sync), 1);
}

// Every step of a pull over an existing image fails, in every way; the old image stays, the new one
// is there or not, both are complete, and nothing is left that does not belong to an image.
TEST_P(CommitTest, FailureAtEachStep) {
  for (bool fail_after : {false, true}) {
    for (size_t step = 0;; ++step) {
      SCOPED_TRACE(Cat("step ", step, fail_after ? ", done" : ""));
      Fresh();
      Digest old = Pull({"base", "old"}, {"x:1"});
      ops_->steps.clear();
      ops_->fail_at = step;
      ops_->fail_after = fail_after;
      auto pulled = PullInto(*store_, {"base", "new", "more"}, {"x:1"});
      if (ops_->steps.size() <= step) {
        EXPECT_TRUE(pulled);
        EXPECT_GT(step, 10u);
        break;
      }
      bool cleaning = ops_->steps[step].starts_with("rmtree");  // which is tried again at the start
      if (!cleaning) {
        ASSERT_FALSE(pulled) << ops_->steps[step];
        EXPECT_EQ(pulled.error().code(), Errc::kIo);
        EXPECT_EQ(store_->Resolve("x:1"), old);
        EXPECT_EQ(store_->Images(), std::vector<Digest>{old});
        EXPECT_TRUE(PullInto(*store_, {"base", "new", "more"}, {"x:1"}));  // trying again works
        EXPECT_EQ(store_->Images().size(), 2u);
      }
      ReopenWithoutFaults();
      EXPECT_TRUE(store_->Find(old));
      ExpectImagesWhole();
      if (HasFatalFailure())
        return;
    }
  }
}

TEST_P(CommitTest, FailureAtEachStepOfCollect) {
  for (bool fail_after : {false, true}) {
    for (size_t step = 0;; ++step) {
      SCOPED_TRACE(Cat("step ", step));
      Fresh();
      Digest kept = Pull({"base", "kept"}, {"x:1"});
      Digest gone = Pull({"base", "gone"}, {});
      ops_->steps.clear();
      ops_->fail_at = step;
      ops_->fail_after = fail_after;
      bool collected = store_->Collect({gone}, {}).has_value();
      if (ops_->steps.size() <= step) {
        EXPECT_TRUE(collected);
        EXPECT_GT(step, 3u);
        break;
      }
      EXPECT_FALSE(collected) << ops_->steps[step];
      EXPECT_TRUE(store_->Root(kept));
      auto again = store_->Collect({gone}, {});
      EXPECT_TRUE(again) << again.error().message();
      EXPECT_EQ(store_->Images(), std::vector<Digest>{kept});
      ReopenWithoutFaults();
      EXPECT_EQ(store_->Images(), std::vector<Digest>{kept});
      ExpectImagesWhole();
    }
  }
}

// A scripted life of a store, cut at every step; of what was not synced some is lost. After each
// cut the store opens, what was committed is whole, and nothing else is left.
class PowerCutTest : public CommitTest {
 protected:
  // Stops at the first step that fails. What is promised to survive is in `committed_`.
  void Live() {
    committed_.clear();
    auto base = PullInto(*store_, {"base", "one"}, {"x:1", "x:latest"});
    if (!base)
      return;
    committed_["x:1"] = *base;
    auto update = PullInto(*store_, {"base", "two", "three"}, {"x:2", "x:latest"});
    if (!update)
      return;
    committed_["x:latest"] = committed_["x:2"] = *update;
    committed_.erase("x:1");  // from here on it may be gone
    if (!store_->RemoveRefs({"x:1"}))
      return;
    if (!store_->Collect({*base}, {}))
      return;
    committed_.erase("x:2");
    if (!store_->SetRef("x:3", *update))
      return;
    committed_["x:3"] = *update;
    auto again = PullInto(*store_, {"base", "one"}, {"x:1"});
    if (!again)
      return;
    committed_["x:1"] = *again;
    finished_ = true;
  }

  // Returns false when the script has no such step.
  bool CutAt(size_t step, std::mt19937& random, bool syncs_count) {
    Fresh();
    ops_->steps.clear();
    ops_->cut_at = step;
    ops_->syncs_count = syncs_count;
    finished_ = false;
    Live();
    if (finished_ && ops_->steps.size() <= step)
      return false;
    store_.reset();
    ops_->LosePower(random);
    return true;
  }

  bool Survives() {
    ops_.reset();
    ops_ = std::make_unique<PowerOps>(temp_ / "graveyard");
    auto opened = TryOpen(*ops_);
    if (!opened)
      return false;
    store_ = *std::move(opened);
    bool whole = true;
    for (const auto& [name, digest] : committed_)
      whole = whole && store_->Resolve(name) == digest && store_->Find(digest);
    for (const Digest& digest : store_->Images()) {
      auto image = store_->Find(digest);
      whole = whole && image && store_->Root(digest);
      for (size_t i = 0; whole && i < image->layers.size(); ++i) {
        auto archive = store_->OpenLayer(image->layers[i].diff_id);
        whole = archive && ReadToEnd(**archive);
      }
    }
    return whole;
  }

  std::map<std::string, Digest> committed_;
  bool finished_ = false;
};

TEST_P(PowerCutTest, EveryStep) {
  std::mt19937 random(1);
  size_t cuts = 0;
  for (size_t step = 0;; ++step) {
    bool there = false;
    for (int loss = 0; loss < 6; ++loss) {
      there = CutAt(step, random, true);
      if (!there)
        break;
      SCOPED_TRACE(Cat("step ", step, ": ", ops_->steps[step]));
      ASSERT_TRUE(Survives()) << Join(notices_, "\n");
      ExpectImagesWhole();
      // The pull can be done again.
      auto pulled = PullInto(*store_, {"base", "two", "three"}, {"x:2"});
      ASSERT_TRUE(pulled) << pulled.error().message();
      ++cuts;
    }
    if (!there)
      break;
  }
  EXPECT_GT(cuts, 300u);
}

// The same without syncs has to find damage, or the test above proves nothing.
TEST_P(PowerCutTest, WithoutSyncsDamageIsFound) {
  std::mt19937 random(2);
  size_t damaged = 0;
  for (size_t step = 0; step < 400 && CutAt(step, random, false); ++step)
    damaged += Survives() ? 0 : 1;
  EXPECT_GT(damaged, 5u);
}

constexpr auto kTiers = {Tier::kImageDataOnly, Tier::kDirectories};
std::string NameOfTier(const testing::TestParamInfo<Tier>& info) {
  return std::string(TierName(info.param));
}
INSTANTIATE_TEST_SUITE_P(Tiers, CommitTest, testing::ValuesIn(kTiers), NameOfTier);
INSTANTIATE_TEST_SUITE_P(Tiers, PowerCutTest, testing::ValuesIn(kTiers), NameOfTier);

}  // namespace
}  // namespace wherry::store
