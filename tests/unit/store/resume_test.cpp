// Layers that are gone on with after their taking in was interrupted.
#include <gtest/gtest.h>

#include <random>

#include "store/checkpoint.h"
#include "store/layer_recorder.h"
#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/power_ops.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

std::string Noise(size_t size, uint32_t state) {
  std::string out(size, '\0');
  for (char& c : out) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>("0123456789abcdefghijklmnopqrstuvwxyz"[(state >> 24) % 36]);
  }
  return out;
}

// Small files, those that are hashed before they are written, and one that is written as it comes.
std::string BigTar() {
  TarBuilder tar;
  tar.Dir("d");
  for (uint32_t i = 0; i < 200; ++i)
    tar.File(Cat("d/small", i), Noise(300 + 37 * i, i));
  tar.File("large", Noise(2'500'000, 1000));
  for (uint32_t i = 0; i < 12; ++i)
    tar.File(Cat("d/medium", i), Noise(200'000, 2000 + i));
  tar.File("last", Noise(1'500'000, 3000));
  return tar.Done();
}

// A registry's blob; from `cut` on nothing comes.
class FakeBlob final : public ByteSource, public BlobStart {
 public:
  explicit FakeBlob(const std::string& blob, size_t cut = SIZE_MAX) : blob_(blob), cut_(cut) {}
  Result<> StartAt(uint64_t offset) override {
    starts.push_back(offset);
    at_ = static_cast<size_t>(offset);
    return {};
  }
  void OnFreshStart(const Error& why) override { told.push_back(why.message()); }
  Result<size_t> Read(std::span<std::byte> out) override {
    if (starts.empty())
      return Fail(Errc::kInternal, "not started");
    if (at_ >= cut_)
      return Fail(Errc::kUnavailable, "the connection is lost");
    size_t count = std::min({out.size(), size_t{16'000}, std::min(cut_, blob_.size()) - at_});
    memcpy(out.data(), blob_.data() + at_, count);
    at_ += count;
    served += count;
    return count;
  }
  std::vector<uint64_t> starts;
  std::vector<std::string> told;
  size_t served = 0;

 private:
  const std::string& blob_;
  const size_t cut_;
  size_t at_ = 0;
};

// What is fetched again for want of a checkpoint just there.
constexpr size_t kSlack = 400'000;

class ResumeTest : public EachTier {
 protected:
  struct Layer {
    std::string tar;
    std::string blob;
    Compression compression = Compression::kGzip;
    Digest diff_id = Digest::Of(tar);
    Digest digest = Digest::Of(blob);
  };

  Result<Digest> PullLayer(const Layer& layer, FakeBlob& blob, bool commit = true) {
    auto transaction = TRY(store_->Begin());
    TRY(transaction->AddLayer({.source = &blob,
                               .compression = layer.compression,
                               .blob_digest = layer.digest,
                               .blob_size = layer.blob.size(),
                               .diff_id = layer.diff_id,
                               .start = &blob},
                              {}));
    if (!commit)
      return Fail(Errc::kCancelled, "not committed");
    return transaction->Commit({"manifest", "application/test", "config", {layer.diff_id}},
                               {"x:1"});
  }
  void CutAt(const Layer& layer, size_t cut) {
    FakeBlob blob(layer.blob, cut);
    auto pulled = PullLayer(layer, blob);
    ASSERT_FALSE(pulled);
    EXPECT_EQ(pulled.error().code(), Errc::kUnavailable) << pulled.error().message();
  }
  // The image is whole, and nothing but it is there.
  void ExpectImage(const Layer& layer) {
    for (const char* part : {"resume", "txn"})
      EXPECT_TRUE(ListDir(Path(part))->empty()) << part;
    auto archive = store_->OpenLayer(layer.diff_id);
    ASSERT_TRUE(archive) << archive.error().message();
    auto content = ReadToEnd(**archive);
    ASSERT_TRUE(content) << content.error().message();
    EXPECT_TRUE(*content == layer.tar);
    Digest image = *store_->Resolve("x:1");
    EXPECT_TRUE(store_->Root(image));
    ASSERT_TRUE(store_->RemoveRefs({"x:1"}));
    ASSERT_TRUE(store_->Collect({image}, {}));
    ExpectClean(0);
  }
  // Calls `change` with each checkpoint there is.
  void ChangeCheckpoints(const Layer& layer,
                         const std::function<std::string(const std::string&)>& change) {
    std::string dir = Path("resume/" + layer.diff_id.hex());
    auto attempts = ListDir(dir);
    ASSERT_TRUE(attempts);
    size_t changed = 0;
    for (const std::string& attempt : *attempts) {
      for (size_t slot = 0; slot < kCheckpointSlots; ++slot) {
        std::string path = Cat(dir, "/", attempt, "/", CheckpointName(slot));
        if (!PathExists(path))
          continue;
        ASSERT_TRUE(ReplaceFile(path, change(Content(path)), 0600, Durability::kVolatile));
        ++changed;
      }
    }
    ASSERT_GT(changed, 0u);
  }
  void ExpectFreshStart(const Layer& layer, std::string_view why) {
    FakeBlob blob(layer.blob);
    auto pulled = PullLayer(layer, blob);
    ASSERT_TRUE(pulled) << pulled.error().message();
    ASSERT_EQ(blob.told.size(), 1u);
    EXPECT_NE(blob.told[0].find(why), std::string::npos) << blob.told[0];
    EXPECT_EQ(blob.starts.back(), 0u);
    ExpectImage(layer);
  }

  const Layer gzip_{BigTar(), Gzip(BigTar())};
};

TEST_P(ResumeTest, GoesOnWhereItWasCut) {
  for (size_t percent : {20, 45, 60, 80, 90, 99}) {
    SCOPED_TRACE(percent);
    size_t cut = gzip_.blob.size() * percent / 100;
    CutAt(gzip_, cut);
    if (percent != 60)  // in the same life of the daemon, too
      Reopen();
    EXPECT_TRUE(store_->Images().empty());
    FakeBlob blob(gzip_.blob);
    uint64_t written = store_->written().content;
    auto pulled = PullLayer(gzip_, blob);
    ASSERT_TRUE(pulled) << pulled.error().message();
    EXPECT_TRUE(blob.told.empty()) << Join(blob.told, "\n");
    EXPECT_LE(blob.served, gzip_.blob.size() - cut + kSlack);
    EXPECT_LE(
        store_->written().content - written,
        (gzip_.blob.size() - cut + kSlack) * 100 / 65);  // what was there is not written again
    ExpectImage(gzip_);
  }
}

TEST_P(ResumeTest, ManyCuts) {
  size_t served = 0;
  for (size_t cut = 500'000; cut < gzip_.blob.size(); cut += 600'000) {
    FakeBlob blob(gzip_.blob, cut);
    ASSERT_FALSE(PullLayer(gzip_, blob));
    EXPECT_TRUE(blob.told.empty()) << Join(blob.told, "\n");
    served += blob.served;
    Reopen();
    EXPECT_LE(ListDir(Path("resume/" + gzip_.diff_id.hex()))->size(), 5u);
  }
  FakeBlob blob(gzip_.blob);
  ASSERT_TRUE(PullLayer(gzip_, blob));
  EXPECT_LE(served + blob.served, gzip_.blob.size() + 9 * kSlack);
  ExpectImage(gzip_);
}

TEST_P(ResumeTest, OtherFormats) {
  std::string tar = BigTar();
  size_t half = tar.size() / 2;
  Layer plain{tar, tar, Compression::kNone};
  Layer frames{tar, Zstd(tar.substr(0, half)) + Zstd(tar.substr(half)), Compression::kZstd};
  Layer members{tar, Gzip(tar.substr(0, half)) + Gzip(tar.substr(half))};
  for (const Layer* layer : {&plain, &frames, &members}) {
    size_t cut = layer->blob.size() * 9 / 10;
    CutAt(*layer, cut);
    Reopen();
    FakeBlob blob(layer->blob);
    ASSERT_TRUE(PullLayer(*layer, blob));
    EXPECT_LE(blob.served, layer->blob.size() * 6 / 10);
    ExpectImage(*layer);
  }
}

TEST_P(ResumeTest, LayerThatWasComplete) {
  FakeBlob blob(gzip_.blob);
  ASSERT_FALSE(PullLayer(gzip_, blob, false));
  Reopen();
  FakeBlob again(gzip_.blob);
  ASSERT_TRUE(PullLayer(gzip_, again));
  EXPECT_EQ(again.served, 0u);
  ExpectImage(gzip_);
}

TEST_P(ResumeTest, DamagedCheckpointCostsTheSaving) {
  using Change = std::function<std::string(const std::string&)>;
  auto flip = [](size_t at) {
    return [at](std::string text) {
      text[std::min(at, text.size() - 1)] ^= 1;
      return text;
    };
  };
  for (const Change& change :
       {Change(flip(0)), Change(flip(7)), Change(flip(9)), Change(flip(100)), Change(flip(20'000)),
        Change([](const std::string& text) { return text.substr(0, 1000); }),
        Change([](const std::string&) { return std::string(); }),
        Change([](const std::string& text) { return std::string(text.size(), 'x'); })}) {
    CutAt(gzip_, gzip_.blob.size() * 9 / 10);
    Reopen();
    ChangeCheckpoints(gzip_, change);
    ExpectFreshStart(gzip_, "damaged");
  }
}

TEST_P(ResumeTest, CheckpointOfAnotherBlob) {
  CutAt(gzip_, gzip_.blob.size() * 9 / 10);
  LayerIdentity identity{gzip_.diff_id, gzip_.digest, gzip_.blob.size()};
  ChangeCheckpoints(gzip_, [&](const std::string& text) {
    Checkpoint other = *DecodeCheckpoint(text, identity);
    other.layer.blob = Digest::Of("other");
    return EncodeCheckpoint(other);
  });
  ExpectFreshStart(gzip_, "another layer");
}

// Checkpoints that are well formed and lie.
TEST_P(ResumeTest, LiesAreFoundOut) {
  LayerIdentity identity{gzip_.diff_id, gzip_.digest, gzip_.blob.size()};
  using Lie = std::function<void(Checkpoint&)>;
  for (const Lie& lie :
       {Lie([](Checkpoint& to) { to.prefix = Digest::Of("x"); }),
        Lie([](Checkpoint& to) { to.blob.state[5] ^= 1; }),
        Lie([](Checkpoint& to) { to.blob.state = "x"; }),
        Lie([](Checkpoint& to) { to.point.window.assign(32'768, 'x'); }),
        Lie([](Checkpoint& to) { to.point.bits = static_cast<uint8_t>(to.point.bits ^ 3); }),
        Lie([](Checkpoint& to) { to.point.bits = 99; }),
        Lie([](Checkpoint& to) { to.objects = 3; }),
        Lie([](Checkpoint& to) { to.point.compression = Compression::kZstd; }),
        Lie([](Checkpoint& to) { to.point.output -= 512; })}) {
    CutAt(gzip_, gzip_.blob.size() * 9 / 10);
    Reopen();
    ChangeCheckpoints(gzip_, [&](const std::string& text) {
      Checkpoint lying = *DecodeCheckpoint(text, identity);
      lie(lying);
      return EncodeCheckpoint(lying);
    });
    ExpectFreshStart(gzip_, "");
  }
}

// What a power cut does to objects that no image has: they are as long as they were.
TEST_P(ResumeTest, DamagedObjectsAreNotCountedOn) {
  CutAt(gzip_, gzip_.blob.size() * 9 / 10);
  store_.reset();
  auto groups = ListDir(Path("obj"));
  for (const std::string& group : *groups) {
    auto names = ListDir(Path("obj/" + group));
    for (const std::string& name : *names) {
      std::string path = Path(Cat("obj/", group, "/", name));
      std::string zeros(Content(path).size(), '\0');
      ASSERT_TRUE(ReplaceFile(path, zeros, 0400, Durability::kVolatile));
    }
  }
  OpenStore();
  ExpectFreshStart(gzip_, "");
}

TEST_P(ResumeTest, GoesWithTheNextCollection) {
  CutAt(gzip_, gzip_.blob.size() / 2);
  EXPECT_GT(ObjectCount(), 0u);
  Reopen();
  EXPECT_GT(ObjectCount(), 0u);
  EXPECT_GT(store_->Measure()->total_bytes, gzip_.blob.size() / 2);
  ASSERT_TRUE(store_->Collect({}, {}));
  EXPECT_TRUE(ListDir(Path("resume"))->empty());
  ExpectClean(0);
}

TEST_P(ResumeTest, GoesWithTime) {
  CutAt(gzip_, gzip_.blob.size() / 2);
  std::string dir = Path("resume/" + gzip_.diff_id.hex());
  timespec old[2] = {{time(nullptr) - 8 * 24 * 3600, 0}, {time(nullptr) - 8 * 24 * 3600, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, dir.c_str(), old, 0), 0);
  Reopen();
  EXPECT_TRUE(Noticed("interrupted pulls"));
  EXPECT_TRUE(ListDir(Path("resume"))->empty());
  ExpectClean(0);
  Reopen();
  EXPECT_TRUE(notices_.empty());
}

TEST_P(ResumeTest, BrokenBlobLeavesNothing) {
  Layer broken = gzip_;
  broken.blob[broken.blob.size() * 9 / 10] ^= 1;
  FakeBlob blob(broken.blob);
  auto pulled = PullLayer(broken, blob);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code(), Errc::kCorrupt) << pulled.error().message();
  EXPECT_TRUE(ListDir(Path("resume"))->empty());
  ExpectClean(0);
}

// Every step of a pull that goes on, cut; of what was not synced some is lost. Whatever is left,
// the next pull makes the image whole.
TEST_P(ResumeTest, PowerCuts) {
  std::mt19937 random(7);
  size_t saved = 0;
  size_t cuts = 0;
  for (size_t step = 0; step < 2000; step += 1 + random() % 40) {
    SCOPED_TRACE(step);
    store_.reset();
    ASSERT_TRUE(RemoveTree(Path("")));
    auto ops = std::make_unique<PowerOps>(temp_ / "graveyard");
    OpenStore(*ops);
    CutAt(gzip_, gzip_.blob.size() / 2);
    ops->cut_at = ops->steps.size() + step;
    FakeBlob blob(gzip_.blob);
    bool done = PullLayer(gzip_, blob).has_value();
    bool cut = ops->steps.size() > ops->cut_at;
    store_.reset();
    if (cut)
      ops->LosePower(random);
    ops.reset();
    OpenStore();
    EXPECT_TRUE(cut || store_->Images().size() == 1);
    FakeBlob again(gzip_.blob);
    auto pulled = PullLayer(gzip_, again);
    ASSERT_TRUE(pulled) << pulled.error().message();
    saved += again.served < gzip_.blob.size() ? 1 : 0;
    ++cuts;
    ExpectImage(gzip_);
    if (done && !cut)
      break;
  }
  EXPECT_GT(cuts, 10u);
  EXPECT_GT(saved, 0u);
}

constexpr auto kTiers = {Tier::kImageDataOnly, Tier::kDirectories};
std::string NameOfTier(const testing::TestParamInfo<Tier>& info) {
  return std::string(TierName(info.param));
}
INSTANTIATE_TEST_SUITE_P(Tiers, ResumeTest, testing::ValuesIn(kTiers), NameOfTier);

}  // namespace
}  // namespace wherry::store
