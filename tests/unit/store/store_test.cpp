#include "store/store.h"

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <thread>

#include "core/base/text.h"
#include "store/image_record.h"
#include "store/refs.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

using StoreTest = StoreFixture;

TEST_F(StoreTest, CreatesItsLayout) {
  OpenStore();
  EXPECT_TRUE(notices_.empty());
  EXPECT_EQ(Content(Path("VERSION")), "1\n");
  for (const char* name : {"obj", "layer", "tree", "img", "txn"}) {
    EXPECT_EQ(Lstat(Path(name)).st_mode, S_IFDIR | 0700u) << name;
  }
  EXPECT_EQ(Lstat(Path("")).st_mode, S_IFDIR | 0700u);
  EXPECT_TRUE(ListDir(Path("txn"))->empty());
  EXPECT_TRUE(store_->Images().empty());
  EXPECT_TRUE(store_->Refs().empty());
}

TEST_F(StoreTest, CommitFindReopen) {
  OpenStore();
  Digest digest = Pull({"one", "two"}, {"docker.io/library/x:1"});
  auto check = [&] {
    auto image = store_->Find(digest);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->manifest, Manifest({"one", "two"}));
    EXPECT_EQ(image->config, Config({"one", "two"}));
    EXPECT_EQ(image->manifest_digest, digest);
    EXPECT_EQ(image->media_type, "application/test");
    ASSERT_EQ(image->layers.size(), 2u);
    EXPECT_EQ(image->layers[0].diff_id, DiffId("one"));
    EXPECT_EQ(image->size_bytes, Body("one").size() + Body("two").size());
    EXPECT_GT(image->created_unix_nanos, 0);
    EXPECT_EQ(store_->Resolve("docker.io/library/x:1"), digest);
    EXPECT_EQ(store_->FindLayer(DiffId("one"))->size_bytes, Body("one").size());
    EXPECT_EQ(Content(Path("tree/" + DiffId("one").hex() + "/one")), Body("one"));
    auto root = store_->Root(digest);
    ASSERT_TRUE(root);
    EXPECT_EQ(root->lower, (std::vector<std::string>{Path("tree/" + DiffId("two").hex()),
                                                     Path("tree/" + DiffId("one").hex())}));
    EXPECT_TRUE(root->image.empty());
    EXPECT_EQ(root->mode, 0755u);
  };
  check();
  EXPECT_TRUE(ListDir(Path("txn"))->empty());
  Reopen();
  EXPECT_TRUE(notices_.empty());
  check();
}

TEST_F(StoreTest, KnownLayersAreNotRead) {
  OpenStore();
  Pull({"one"}, {"x:1"});
  auto transaction = *store_->Begin();
  StringSource source("anything");
  auto info = transaction->AddLayer({.source = &source, .diff_id = DiffId("one")}, {});
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size_bytes, Body("one").size());
  EXPECT_FALSE(source.touched());
  EXPECT_EQ(transaction->AddLayer({.diff_id = DiffId("two")}, {}).error().code(), Errc::kNotFound);
}

TEST_F(StoreTest, LayersOfUnknownDiffId) {
  OpenStore();
  std::string tar = LayerTar("one");
  auto transaction = *store_->Begin();
  for (int times = 0; times < 2; ++times) {
    StringSource source(tar);
    auto info = transaction->AddLayer({.source = &source}, {});
    ASSERT_TRUE(info) << info.error().message();
    EXPECT_EQ(info->diff_id, DiffId("one"));
    EXPECT_EQ(info->size_bytes, Body("one").size());
  }
  StringSource other(LayerTar("two"));
  ASSERT_TRUE(transaction->AddLayer({.source = &other}, {}));
  ASSERT_TRUE(transaction->Commit(Record({"one"}), {"x:1"}));
  EXPECT_EQ(Layers(), 2u);
  transaction.reset();
  ExpectClean(1);  // what the image does not have is gone
  EXPECT_EQ(*store_->ArchiveSize(DiffId("one")), tar.size());
  EXPECT_EQ(store_->ArchiveSize(DiffId("two")).error().code(), Errc::kNotFound);
  // Of a layer that is there already, too.
  transaction = *store_->Begin();
  StringSource again(tar);
  ASSERT_TRUE(transaction->AddLayer({.source = &again}, {}));
  transaction.reset();
  ExpectClean(1);
}

TEST_F(StoreTest, LayersOfUnknownDiffIdAreComparedWithTheirBlob) {
  OpenStore();
  auto transaction = *store_->Begin();
  StringSource source(LayerTar("one"));
  auto info = transaction->AddLayer({.source = &source, .blob_digest = Digest::Of("other")}, {});
  EXPECT_EQ(info.error().code(), Errc::kCorrupt);
  transaction.reset();
  ExpectClean(0);
}

TEST_F(StoreTest, AbandonedTransactionsLeaveNothing) {
  OpenStore();
  {
    auto transaction = *store_->Begin();
    AddLayer(*transaction, "one");
    EXPECT_FALSE(ListDir(Path("txn"))->empty());
    EXPECT_EQ(ObjectCount(), 1u);
  }
  EXPECT_FALSE(store_->HasLayer(DiffId("one")));
  ExpectClean(0);
}

TEST_F(StoreTest, FailedLayersLeaveNothing) {
  OpenStore();
  auto transaction = *store_->Begin();
  StringSource source(LayerTar("one"));
  auto info = transaction->AddLayer({.source = &source, .diff_id = DiffId("other")}, {});
  EXPECT_EQ(info.error().code(), Errc::kCorrupt);
  EXPECT_EQ(Layers(), 0u);
  EXPECT_TRUE(AddLayer(*transaction, "two"));  // the transaction goes on
  transaction.reset();
  ExpectClean(0);
}

TEST_F(StoreTest, CommitNeedsItsLayers) {
  OpenStore();
  auto transaction = *store_->Begin();
  AddLayer(*transaction, "one");
  auto committed = transaction->Commit(Record({"one", "two"}), {"x:1"});
  EXPECT_EQ(committed.error().code(), Errc::kNotFound);
  EXPECT_TRUE(store_->Images().empty());
  EXPECT_FALSE(store_->Resolve("x:1"));
}

TEST_F(StoreTest, CommitTakesLayersOfTheStoreUnasked) {
  OpenStore();
  Pull({"one"}, {"x:1"});
  auto transaction = *store_->Begin();
  EXPECT_TRUE(transaction->Commit(Record({"one", "one"}), {"x:2"}));
}

TEST_F(StoreTest, CommitRefusesNonsense) {
  OpenStore();
  auto transaction = *store_->Begin();
  EXPECT_EQ(transaction->Commit({.media_type = "t"}, {}).error().code(), Errc::kInvalid);
  EXPECT_EQ(transaction->Commit({.manifest = "m", .media_type = "a\nb"}, {}).error().code(),
            Errc::kInvalid);
  EXPECT_EQ(transaction->Commit({.manifest = "m", .media_type = "t"}, {"a b"}).error().code(),
            Errc::kInvalid);
  EXPECT_TRUE(transaction->Commit({.manifest = "m", .media_type = "t"}, {}));
}

TEST_F(StoreTest, SecondCommitOfAnImageOnlyNamesIt) {
  OpenStore();
  Digest digest = Pull({"one"}, {"x:1"});
  auto before = Lstat(Path("img/" + digest.hex()));
  EXPECT_EQ(Pull({"one"}, {"x:2"}), digest);
  EXPECT_EQ(Lstat(Path("img/" + digest.hex())).st_ino, before.st_ino);
  EXPECT_EQ(store_->Refs().size(), 2u);
}

TEST_F(StoreTest, TwoTransactionsMayUnpackTheSameLayer) {
  OpenStore();
  auto first = *store_->Begin();
  auto second = *store_->Begin();
  ASSERT_TRUE(AddLayer(*first, "one"));
  ASSERT_TRUE(AddLayer(*second, "one"));
  ASSERT_TRUE(AddLayer(*second, "two"));
  auto a = first->Commit(Record({"one"}), {"x:1"});
  auto b = second->Commit(Record({"one", "two"}), {"x:2"});
  ASSERT_TRUE(a && b);
  first.reset();
  second.reset();
  ExpectClean(2);
  Reopen();
  EXPECT_TRUE(notices_.empty()) << notices_[0];
  EXPECT_TRUE(store_->Root(*b));
}

TEST_F(StoreTest, ManyThreads) {
  OpenStore();
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([this, i, &failures] {
      for (int round = 0; round < 5; ++round) {
        std::string own = Cat("own", i, "-", round);
        auto transaction = store_->Begin();
        bool fine =
            transaction && AddLayer(**transaction, "shared") && AddLayer(**transaction, own);
        auto digest = (*transaction)->Commit(Record({"shared", own}), {Cat("x:", i)});
        fine = fine && digest && store_->Find(*digest) && store_->Root(*digest);
        failures += fine ? 0 : 1;
        transaction->reset();
        if (digest) {
          auto images = store_->Images();
          failures += store_->Collect({images.begin(), images.end()}, {*digest}) ? 0 : 1;
        }
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(failures, 0);
  // Another thread may have looked at the images between commit and naming; each thread's last
  // image has a name.
  EXPECT_EQ(store_->Images().size(), 6u);
  ExpectClean(7);
  Reopen();
  EXPECT_TRUE(notices_.empty());
}

TEST_F(StoreTest, RefsAreDurableAndReplaced) {
  OpenStore();
  Digest one = Pull({"one"}, {"x:1", "x:latest"});
  Digest two = Pull({"two"}, {"x:2", "x:latest"});
  EXPECT_TRUE(store_->SetRef("y:1", one));
  EXPECT_TRUE(store_->SetRef("y:1", one));
  EXPECT_EQ(store_->SetRef("y:2", Digest::Of("none")).error().code(), Errc::kNotFound);
  EXPECT_EQ(store_->SetRef("bad name", one).error().code(), Errc::kInvalid);
  EXPECT_TRUE(store_->RemoveRefs({"x:1", "never-there"}));
  Reopen();
  auto refs = store_->Refs();
  ASSERT_EQ(refs.size(), 3u);
  EXPECT_EQ(refs[0].name, "x:2");
  EXPECT_EQ(refs[1].name, "x:latest");
  EXPECT_EQ(refs[1].manifest_digest, two);
  EXPECT_EQ(refs[2].manifest_digest, one);
  EXPECT_FALSE(store_->Resolve("x:1"));
}

TEST_F(StoreTest, CollectRemovesWhatNothingNeeds) {
  OpenStore();
  Digest a = Pull({"base", "a"}, {"x:a"});
  Digest b = Pull({"base", "b"}, {"x:b"});
  Digest c = Pull({"base", "c"}, {"x:c"});
  ASSERT_TRUE(store_->RemoveRefs({"x:b", "x:c"}));
  auto result = store_->Collect({a, b, c, Digest::Of("unknown")}, {c});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->images, std::vector<Digest>{b});
  EXPECT_EQ(result->layers, std::vector<Digest>{DiffId("b")});
  EXPECT_GT(result->freed_bytes, 0u);
  EXPECT_FALSE(store_->Find(b));
  EXPECT_FALSE(Exists(Path("tree/" + DiffId("b").hex())));
  EXPECT_TRUE(store_->Root(a));
  EXPECT_TRUE(store_->Root(c));
  EXPECT_EQ(store_->Root(b).error().code(), Errc::kNotFound);
  ASSERT_TRUE(store_->RemoveRefs({"x:a"}));
  EXPECT_EQ(store_->Collect({a, c}, {})->layers.size(), 3u);
  EXPECT_TRUE(ListDir(Path("img"))->empty());
  ExpectClean(0);
}

TEST_F(StoreTest, CollectOnlyConsidersCandidates) {
  OpenStore();
  Pull({"one"}, {});
  EXPECT_TRUE(store_->Collect({}, {})->images.empty());
  EXPECT_EQ(store_->Images().size(), 1u);
}

TEST_F(StoreTest, OpenTransactionsProtectTheirLayers) {
  OpenStore();
  Digest a = Pull({"base", "a"}, {});
  auto transaction = *store_->Begin();
  StringSource unused("");
  ASSERT_TRUE(transaction->AddLayer({.source = &unused, .diff_id = DiffId("base")}, {}));
  auto result = store_->Collect({a}, {});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->layers, std::vector<Digest>{DiffId("a")});
  EXPECT_TRUE(store_->HasLayer(DiffId("base")));
  auto committed = transaction->Commit(Record({"base"}), {"x:1"});
  ASSERT_TRUE(committed);
  transaction.reset();
  EXPECT_TRUE(store_->Root(*committed));
}

TEST_F(StoreTest, LayersGoWithTheLastTransactionThatHeldThem) {
  OpenStore();
  Digest a = Pull({"base"}, {});
  auto first = *store_->Begin();
  auto second = *store_->Begin();
  StringSource unused("");
  ASSERT_TRUE(first->AddLayer({.source = &unused, .diff_id = DiffId("base")}, {}));
  ASSERT_TRUE(second->AddLayer({.source = &unused, .diff_id = DiffId("base")}, {}));
  ASSERT_TRUE(store_->Collect({a}, {}));
  first.reset();
  EXPECT_TRUE(store_->HasLayer(DiffId("base")));
  second.reset();
  EXPECT_FALSE(store_->HasLayer(DiffId("base")));
  ExpectClean(0);
}

TEST_F(StoreTest, DirectoriesStopAtAnOpaqueRootAndDropRepetitions) {
  OpenStore();
  std::string opaque = TarBuilder().File(".wh..wh..opq", "").File("f", "x").Done();
  auto transaction = *store_->Begin();
  StringSource source(opaque);
  ASSERT_TRUE(transaction->AddLayer({.source = &source, .diff_id = Digest::Of(opaque)}, {}));
  ASSERT_TRUE(AddLayer(*transaction, "one"));
  ASSERT_TRUE(AddLayer(*transaction, "two"));
  ImageRecord record = Record({"one"});
  record.diff_ids = {DiffId("one"), Digest::Of(opaque), DiffId("two"), DiffId("two")};
  auto digest = transaction->Commit(record, {});
  ASSERT_TRUE(digest);
  auto root = store_->Root(*digest);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->lower, (std::vector<std::string>{Path("tree/" + DiffId("two").hex()),
                                                   Path("tree/" + Digest::Of(opaque).hex())}));
}

TEST_F(StoreTest, CheckSpace) {
  OpenStore();
  EXPECT_TRUE(store_->CheckSpace(1));
  EXPECT_EQ(store_->CheckSpace(UINT64_MAX).error().code(), Errc::kNoSpace);
}

TEST_F(StoreTest, TmpfsFullInTheMiddle) {
  TempDir mount_point;
  std::string command = "mount -t tmpfs -o size=8m tmpfs " + mount_point.path() + " 2>/dev/null";
  if (system(command.c_str()) != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here";
  }
  Limits limits;
  limits.reserve_bytes = 0;
  {
    auto store = Store::Open(mount_point / "store", {.limits = limits}, nullptr);
    ASSERT_TRUE(store) << store.error().message();
    auto transaction = *(*store)->Begin();
    std::string tar = TarBuilder()
                          .File("a", std::string(5 << 20, 'x'))
                          .File("b", std::string(5 << 20, 'y'))
                          .Done();
    StringSource source(tar);
    auto info = transaction->AddLayer({.source = &source, .diff_id = Digest::Of(tar)}, {});
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code(), Errc::kNoSpace) << info.error().message();
    transaction = *(*store)->Begin();  // what did not fit is gone with the other one
    std::string small = TarBuilder().File("a", std::string(5 << 20, 'x')).Done();
    StringSource again(small);
    EXPECT_TRUE(transaction->AddLayer({.source = &again, .diff_id = Digest::Of(small)}, {}));
  }
  EXPECT_EQ(system(("umount " + mount_point.path()).c_str()), 0);
}

}  // namespace
}  // namespace wherry::store
