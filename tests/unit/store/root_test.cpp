// The same image as a root file system in every tier: what programs see has to be the same.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <thread>

#include "core/sys/mount.h"
#include "tests/unit/store/snapshot.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

std::vector<std::string> Layers3() {
  std::string large(70'000, 'l');
  return {TarBuilder()
              .Dir("./", 0755, 5)
              .Dir("bin", 0755, 6)
              .File("bin/large", large, 0755)
              .File("bin/small", "small")
              .Hardlink("bin/other", "bin/large")
              .Dir("gone/deep")
              .File("gone/deep/file", "x")
              .Dir("hidden")
              .File("hidden/old", "x")
              .File("becomes-dir", "x")
              .Dir("becomes-file")
              .File("becomes-file/x", "x")
              .Symlink("lib", "usr/lib")
              .File("usr/lib/a", "a")
              .Dir("ab")  // as a directory of objects is called
              .File("ab/mine", "mine")
              .Dir("kept", 0700, 9)
              .File("kept/one", "1")
              .Done(),
          TarBuilder()
              .File(".wh.gone", "")
              .Dir("hidden", 0711)
              .File("hidden/.wh..wh..opq", "")
              .File("hidden/new", "y")
              .File("bin/.wh.small", "")
              .Dir("becomes-dir")
              .File("becomes-dir/x", "x")
              .File("becomes-file", "x")
              .File("kept/two", large + "2")
              .Done(),
          TarBuilder()
              .Dir("./", 0750, 7)
              .Dir("gone")
              .File("gone/again", "z")
              .Dir("kept", 0755, 11)
              .File("cd", "a file")
              .Entry({.name = "bin/large", .mode = 0700, .uid = 7}, large)
              .Done()};
}

class RootTest : public EachTier {
 protected:
  // What a container would see, and whether it can write.
  Snapshot Mounted(const RootFs& root) {
    Snapshot seen;
    std::thread([&] {
      ASSERT_EQ(unshare(CLONE_NEWNS), 0);
      ASSERT_TRUE(sys::MakeAllPrivate());
      sys::OverlayOptions options{.lower = root.lower,
                                  .image = {},
                                  .upper = temp_ / "upper",
                                  .work = temp_ / "work",
                                  .is_volatile = false};
      UniqueFd image;
      if (!root.image.empty()) {
        auto mounted = sys::MountErofsImage(root.image);
        ASSERT_TRUE(mounted) << mounted.error().message();
        image = *std::move(mounted);
        options.image = sys::MetadataImage{image.get(), root.objects, root.data_only};
      }
      for (const char* name : {"upper", "work", "root"})
        ASSERT_TRUE(MakeDirs(temp_ / name, 0750));
      UniqueFd target = *Open(temp_ / "root", O_PATH | O_DIRECTORY);
      auto overlay = sys::MountOverlay(options, target.get());
      ASSERT_TRUE(overlay) << overlay.error().message();
      std::string at = Cat("/proc/self/fd/", overlay->get(), "/.");
      Look(at, "", seen);
      EXPECT_EQ(Content(at + "/bin/large"), std::string(70'000, 'l'));
      EXPECT_EQ(Content(at + "/kept/two"), std::string(70'000, 'l') + "2");
      // Changed in the container, and nowhere else.
      ASSERT_EQ(chmod((at + "/kept/two").c_str(), 0600), 0);
      ASSERT_EQ(rename((at + "/kept").c_str(), (at + "/moved").c_str()), 0);
      EXPECT_EQ(Content(at + "/moved/two"), std::string(70'000, 'l') + "2");
      UniqueFd file = *Open(at + "/bin/large", O_WRONLY | O_APPEND);
      EXPECT_TRUE(WriteAll(file.get(), "more", "bin/large"));
      EXPECT_EQ(Content(at + "/bin/other"), std::string(70'000, 'l'));
    }).join();
    return seen;
  }
};

TEST_P(RootTest, LooksTheSame) {
  auto transaction = *store_->Begin();
  ImageRecord record{"m", "application/test", "c", {}};
  for (const std::string& layer : Layers3()) {
    StringSource source(layer);
    ASSERT_TRUE(transaction->AddLayer({.source = &source, .diff_id = Digest::Of(layer)}, {}));
    record.diff_ids.push_back(Digest::Of(layer));
  }
  auto committed = transaction->Commit(record, {"x:1"});
  ASSERT_TRUE(committed) << committed.error().message();
  auto root = store_->Root(*committed);
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->mode, 0750u);
  EXPECT_EQ(root->image.empty(), tier_ == Tier::kDirectories);
  Snapshot seen = Mounted(*root);
  std::vector<std::string> names;
  for (const auto& [name, what] : seen)
    names.push_back(name);
  EXPECT_EQ(
      names,
      (std::vector<std::string>{
          "",        "/ab",         "/ab/mine",   "/becomes-dir", "/becomes-dir/x", "/becomes-file",
          "/bin",    "/bin/large",  "/bin/other", "/cd",          "/gone",          "/gone/again",
          "/hidden", "/hidden/new", "/kept",      "/kept/one",    "/kept/two",      "/lib",
          "/usr",    "/usr/lib",    "/usr/lib/a"}));
  EXPECT_TRUE(seen["/bin/large"].find(" 7:0 ") != std::string::npos) << seen["/bin/large"];
  EXPECT_TRUE(seen["/kept"].starts_with(Cat("mode ", S_IFDIR | 0755))) << seen["/kept"];

  // And in another tier, after a restart.
  if (tier_ == Tier::kDirectories)
    return;
  transaction.reset();
  store_.reset();
  tier_ = Tier::kDirectories;
  OpenStore();
  root = store_->Root(*committed);
  ASSERT_TRUE(root) << root.error().message();
  ASSERT_TRUE(root->image.empty());
  for (const char* name : {"upper", "work"})
    ASSERT_TRUE(RemoveTree(temp_ / name));
  Snapshot directories = Mounted(*root);
  directories[""] = seen[""];  // that of the upper directory, which was made for each
  for (auto& [name, what] : seen) {
    // Links of an image are told by the image, those of directories by the file system.
    auto without_links = [](std::string text) {
      size_t at = text.find(" links ");
      return at == std::string::npos ? text : text.erase(at, text.find(' ', at + 7) - at);
    };
    EXPECT_EQ(without_links(what), without_links(directories[name])) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, RootTest,
                         testing::Values(Tier::kImageDataOnly, Tier::kImage, Tier::kDirectories),
                         [](const auto& test) { return std::string(TierName(test.param)); });

}  // namespace
}  // namespace wherry::store
