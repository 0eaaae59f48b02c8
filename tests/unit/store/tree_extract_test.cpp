#include "store/tree_extract.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "store/change_archive.h"
#include "store/tar_writer.h"
#include "store/tree_entries.h"
#include "tests/unit/store/files.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string Entry(TarType type, std::string name, std::string content = {}) {
  TarEntry entry;
  entry.name = std::move(name);
  entry.type = type;
  entry.mode = type == TarType::kDirectory ? 0755 : 06644;
  entry.uid = geteuid();
  entry.gid = getegid();
  bool link = type == TarType::kSymlink || type == TarType::kHardlink;
  if (link)
    entry.link_name = content;
  if (type == TarType::kRegular)
    entry.size = content.size();
  std::string header = TarEntryHeader(entry);
  return type == TarType::kRegular ? Cat(header, content, TarPadding(content.size())) : header;
}

class TreeExtract : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeDirs(root_ + "/in", 0755));
    ASSERT_TRUE(MakeDirs(outside_, 0755));
  }
  Result<> Extract(const std::string& archive, ExtractOptions options = {}) {
    StringSource source(archive + TarEnd(), 1000);
    auto root = OpenDir(root_);
    return ExtractTree(source, root->get(), "/in", std::move(options));
  }

  TempDir dir_;
  std::string root_ = dir_.path() + "/root";
  std::string outside_ = dir_.path() + "/outside";
};

TEST_F(TreeExtract, MergesDirectoriesAndReplacesTheRest) {
  ASSERT_TRUE(
      Extract(Entry(TarType::kRegular, "a/b/c", "old") + Entry(TarType::kRegular, "a/x", "x")));
  ASSERT_TRUE(Extract(Entry(TarType::kDirectory, "a/") + Entry(TarType::kRegular, "a/b", "new")));
  EXPECT_EQ(Content(root_ + "/in/a/b"), "new");
  EXPECT_EQ(Content(root_ + "/in/a/x"), "x");
}

TEST_F(TreeExtract, KeepsKindsWhenAsked) {
  ASSERT_TRUE(Extract(Entry(TarType::kRegular, "d/f", "x") + Entry(TarType::kRegular, "g", "y")));
  EXPECT_FALSE(Extract(Entry(TarType::kRegular, "d", "z"), {.keep_kinds = true}));
  EXPECT_FALSE(Extract(Entry(TarType::kDirectory, "g/"), {.keep_kinds = true}));
  EXPECT_EQ(Content(root_ + "/in/d/f"), "x");
  EXPECT_EQ(Content(root_ + "/in/g"), "y");
}

TEST_F(TreeExtract, RenamesTheFirstComponent) {
  ASSERT_TRUE(Extract(Entry(TarType::kDirectory, "old/") + Entry(TarType::kRegular, "old/old", "x"),
                      {.rename = {{"old", "new"}}}));
  EXPECT_EQ(Content(root_ + "/in/new/old"), "x");
  ASSERT_TRUE(Extract(Entry(TarType::kDirectory, "old/") + Entry(TarType::kRegular, "old/f", "y"),
                      {.rename = {{"old", ""}}}));
  EXPECT_EQ(Content(root_ + "/in/f"), "y");
}

TEST_F(TreeExtract, NothingLeadsOut) {
  for (const std::string& archive :
       {Entry(TarType::kRegular, "../../outside/f", "hit"),
        Entry(TarType::kHardlink, "f", "../../outside/f"),
        Entry(TarType::kSymlink, "l", "../../outside") + Entry(TarType::kRegular, "l/f", "hit"),
        Entry(TarType::kSymlink, "l", outside_) + Entry(TarType::kRegular, "l/f", "hit"),
        Entry(TarType::kSymlink, "l", outside_) + Entry(TarType::kDirectory, "l/") +
            Entry(TarType::kRegular, "l/g", "inside")}) {
    (void)Extract(archive);
    EXPECT_FALSE(Exists(outside_ + "/f"));
    EXPECT_FALSE(Exists(outside_ + "/g"));
  }
}

TEST_F(TreeExtract, TheCallersFilesHaveNoPower) {
  ASSERT_TRUE(
      Extract(Entry(TarType::kRegular, "f", "x"), {.owner = ExtractOptions::Owner::kCaller}));
  EXPECT_EQ(Lstat(root_ + "/in/f").st_mode & 07777, 0644U);
  EXPECT_FALSE(
      Extract(Entry(TarType::kBlockDevice, "disk"), {.owner = ExtractOptions::Owner::kCaller}));
}

TEST_F(TreeExtract, StopsWhenTold) {
  int calls = 0;
  ExtractOptions options;
  options.go_on = [&calls]() -> Result<> {
    return ++calls < 3 ? Result<>() : Fail(Errc::kCancelled, "enough");
  };
  auto done = Extract(Entry(TarType::kDirectory, "a/") + Entry(TarType::kDirectory, "b/") +
                          Entry(TarType::kDirectory, "c/"),
                      std::move(options));
  EXPECT_EQ(done.error().code(), Errc::kCancelled);
  EXPECT_TRUE(Exists(root_ + "/in/b"));
  EXPECT_FALSE(Exists(root_ + "/in/c"));
}

TEST_F(TreeExtract, RefusesWhatIsNoArchive) {
  EXPECT_FALSE(Extract(std::string(5000, 'x')));
}

TEST_F(TreeExtract, TreeEntriesGiveItBack) {
  ASSERT_TRUE(Extract(Entry(TarType::kRegular, "t/.wh.name", "x") +
                      Entry(TarType::kHardlink, "t/second", "t/.wh.name") +
                      Entry(TarType::kSymlink, "t/link", "/anywhere")));
  ChangeArchive archive(std::make_unique<TreeEntries>(*OpenDir(root_ + "/in"), "t", "name"));
  auto root = OpenDir(root_);
  ASSERT_TRUE(MakeDirs(root_ + "/copy", 0755));
  auto done = ExtractTree(archive, root->get(), "/copy", {});
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(Content(root_ + "/copy/name/.wh.name"), "x");
  EXPECT_EQ(Lstat(root_ + "/copy/name/second").st_ino, Lstat(root_ + "/copy/name/.wh.name").st_ino);
  EXPECT_TRUE(S_ISLNK(Lstat(root_ + "/copy/name/link").st_mode));
}

}  // namespace
}  // namespace wherry::store
