// Opening stores that were left in a bad state: damage costs the damaged object and a sentence,
// never the start.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "core/base/text.h"
#include "store/image_record.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

void Overwrite(const std::string& path, const std::string& content) {
  ASSERT_TRUE(ReplaceFile(path, content, 0600, Durability::kVolatile));
}

class StartupTest : public StoreFixture {
 protected:
  // Two images on a shared base.
  void Fill() {
    OpenStore();
    one_ = Pull({"base", "one"}, {"x:1", "x:latest"});
    two_ = Pull({"base", "two"}, {"x:2"});
    store_.reset();
  }
  Digest one_;
  Digest two_;
};

TEST_F(StartupTest, LockIsExclusive) {
  OpenStore();
  auto second = TryOpen();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kBusy);
  EXPECT_NE(second.error().message().find("another wherry daemon"), std::string::npos);
  store_.reset();
  EXPECT_TRUE(TryOpen());
}

TEST_F(StartupTest, NewerStoreIsRefusedUntouched) {
  Fill();
  Overwrite(Path("VERSION"), "2\n");
  Overwrite(Path("txn/left"), "");
  auto opened = TryOpen();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Errc::kUnsupported);
  EXPECT_NE(opened.error().message().find("newer wherry"), std::string::npos);
  EXPECT_TRUE(Exists(Path("txn/left")));
}

TEST_F(StartupTest, AStopInOrderIsKnown) {
  OpenStore();
  EXPECT_FALSE(store_->IsUntouched());
  Reopen();
  EXPECT_FALSE(store_->IsUntouched()) << "nobody has looked";
  store_->SetChecked();
  EXPECT_TRUE(store_->IsUntouched());
  Pull({"base"}, {"x:1"});
  EXPECT_FALSE(store_->IsUntouched());
  EXPECT_FALSE(Exists(Path("clean"))) << "a cut now would not be seen";
  Reopen();
  EXPECT_TRUE(store_->IsUntouched());
  ASSERT_TRUE(store_->SetRef("x:2", store_->Images()[0]));
  EXPECT_TRUE(store_->IsUntouched());
  Pull({"one"}, {"x:3"});
  store_->SetChecked();  // such as by a check after the boot that took this long
  EXPECT_TRUE(Exists(Path("clean")));
}

TEST_F(StartupTest, WhileALayerIsAddedNothingIsClean) {
  OpenStore();
  store_->SetChecked();
  {
    auto transaction = store_->Begin();
    ASSERT_TRUE(transaction);
    store_->SetChecked();
    EXPECT_FALSE(Exists(Path("clean")));
  }
  store_->SetChecked();
  EXPECT_TRUE(Exists(Path("clean")));
}

TEST_F(StartupTest, DamagedVersionIsRewritten) {
  Fill();
  for (const char* content : {"", "garbage", "0\n"}) {
    Overwrite(Path("VERSION"), content);
    OpenStore();
    EXPECT_TRUE(Noticed("VERSION was damaged"));
    EXPECT_EQ(store_->Images().size(), 2u);
    EXPECT_EQ(Content(Path("VERSION")), "1\n");
    store_.reset();
  }
}

TEST_F(StartupTest, LeftoversAreRemoved) {
  Fill();
  ASSERT_TRUE(MakeDirs(Path("txn/7/abc/dir"), 0700));
  Overwrite(Path("img/.0123.tmp"), "half a record");
  Overwrite(Path(".refs.tmp"), "half of the names");
  ASSERT_TRUE(MakeDirs(Path("tree/" + DiffId("orphan").hex() + "/dir"), 0700));
  Overwrite(Path("layer/" + DiffId("orphan").hex() + ".idx"), "half an index");
  Overwrite(Path("layer/" + DiffId("orphan").hex() + ".erofs"), "");
  Overwrite(Path("layer/junk"), "");
  std::string orphan = ObjectPath(Digest::Of("orphan"));
  ASSERT_TRUE(MakeDirs(Path("obj/" + orphan.substr(0, 1)), 0700));
  Overwrite(Path("obj/" + orphan), "orphan");
  Overwrite(Path("obj/" + orphan.substr(0, 1) + "/junk"), "junk");
  OpenStore();
  EXPECT_TRUE(Noticed("txn/7"));
  EXPECT_TRUE(Noticed("removed 4 files of layers that no image uses"));
  EXPECT_EQ(ListDir(Path("img"))->size(), 2u);
  EXPECT_FALSE(Exists(Path(".refs.tmp")));
  ExpectClean(3);
  Reopen();
  EXPECT_TRUE(notices_.empty());
}

TEST_F(StartupTest, DamagedRecordCostsOneImage) {
  Fill();
  std::string path = Path("img/" + one_.hex());
  std::string content = Content(path);
  for (const std::string& damaged : {std::string(), content.substr(0, content.size() / 2),
                                     std::string(content).replace(100, 1, "~")}) {
    Overwrite(path, damaged);
    OpenStore();
    EXPECT_TRUE(Noticed(one_.hex().substr(0, 12))) << damaged;
    EXPECT_TRUE(Noticed("pull it again"));
    EXPECT_EQ(store_->Images(), std::vector<Digest>{two_});
    EXPECT_FALSE(store_->Resolve("x:1"));
    EXPECT_TRUE(Noticed("dropped the name x:latest"));
    EXPECT_EQ(store_->Resolve("x:2"), two_);
    EXPECT_TRUE(store_->Root(two_));
    EXPECT_EQ(Content(Path("quarantine/img-" + one_.hex())), damaged);
    // Pulled again it is as new.
    EXPECT_EQ(Pull({"base", "one"}, {"x:1", "x:latest"}), one_);
    Reopen();
    EXPECT_TRUE(notices_.empty());
    store_.reset();
  }
}

TEST_F(StartupTest, RecordUnderAWrongName) {
  Fill();
  std::string content = Content(Path("img/" + one_.hex()));
  Overwrite(Path("img/" + Digest::Of("x").hex()), content);
  Overwrite(Path("img/junk"), "junk");
  OpenStore();
  EXPECT_EQ(notices_.size(), 2u);
  EXPECT_EQ(store_->Images().size(), 2u);
}

TEST_F(StartupTest, MissingLayerCostsTheImagesThatNeedIt) {
  Fill();
  ASSERT_EQ(unlink(Path("layer/" + DiffId("two").hex() + ".idx").c_str()), 0);
  OpenStore();
  EXPECT_TRUE(Noticed("its layer " + DiffId("two").hex().substr(0, 12) + " is missing"));
  EXPECT_EQ(store_->Images(), std::vector<Digest>{one_});
}

TEST_F(StartupTest, DamagedRefsAreRebuiltFromTheRecords) {
  Fill();
  for (const char* content : {"", "garbage"}) {
    Overwrite(Path("refs"), content);
    OpenStore();
    EXPECT_TRUE(Noticed("have been rebuilt: 3 names"));
    EXPECT_EQ(store_->Resolve("x:1"), one_);
    EXPECT_EQ(store_->Resolve("x:2"), two_);
    EXPECT_TRUE(Exists(Path("quarantine/refs")));
    Reopen();
    EXPECT_TRUE(notices_.empty());
    store_.reset();
  }
  ASSERT_EQ(unlink(Path("refs").c_str()), 0);
  OpenStore();
  EXPECT_TRUE(Noticed("missing"));
  EXPECT_EQ(store_->Refs().size(), 3u);
}

TEST_F(StartupTest, DamageWhileRunningHidesTheImage) {
  Fill();
  OpenStore();
  Overwrite(Path("img/" + one_.hex()), "x");
  EXPECT_FALSE(store_->Find(one_));
  EXPECT_TRUE(store_->Find(two_));
}

TEST_F(StartupTest, UnusableDirectories) {
  Overwrite(temp_ / "file", "");
  for (const std::string& path : {temp_ / "file", temp_ / "file/below",
                                  std::string("/proc/nothing"), std::string("/sys/wherry")}) {
    auto opened = Store::Open(path, {.limits = limits_}, nullptr);
    ASSERT_FALSE(opened) << path;
    EXPECT_NE(opened.error().message().find("--root"), std::string::npos)
        << opened.error().message();
  }
}

TEST_F(StartupTest, UnwritableDirectory) {
  // Root ignores modes; a child without privileges does not.
  Fill();
  ASSERT_EQ(chmod(temp_.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(Path("").c_str(), 0755), 0);
  pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) {
      _exit(3);
    }
    auto opened = Store::Open(Path(""), {.limits = limits_}, nullptr);
    _exit(!opened && opened.error().code() == Errc::kDenied ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(StartupTest, RelativePathsBecomeAbsolute) {
  char before[4096];
  ASSERT_NE(getcwd(before, sizeof(before)), nullptr);
  ASSERT_EQ(chdir(temp_.path().c_str()), 0);
  auto opened = Store::Open("store", {.limits = limits_}, nullptr);
  ASSERT_EQ(chdir(before), 0);
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ((*opened)->directory(), Path(""));
}

TEST_F(StartupTest, OverlayIsRefused) {
  ASSERT_TRUE(MakeDirs(temp_ / "l", 0755));
  ASSERT_TRUE(MakeDirs(temp_ / "u", 0755));
  ASSERT_TRUE(MakeDirs(temp_ / "w", 0755));
  ASSERT_TRUE(MakeDirs(temp_ / "m", 0755));
  std::string base = temp_.path();
  if (system(Cat("mount -t overlay overlay -o lowerdir=", base, "/l,upperdir=", base,
                 "/u,workdir=", base, "/w ", base, "/m 2>/dev/null")
                 .c_str()) != 0) {
    GTEST_SKIP() << "cannot mount an overlay here";
  }
  auto opened = Store::Open(temp_ / "m/store", {.limits = limits_}, nullptr);
  EXPECT_EQ(system(Cat("umount ", base, "/m").c_str()), 0);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Errc::kUnsupported);
  EXPECT_NE(opened.error().message().find("overlayfs"), std::string::npos);
}

}  // namespace
}  // namespace wherry::store
