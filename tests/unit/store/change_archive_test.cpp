#include "store/change_archive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_xattr.h"
#include "store/tar_reader.h"
#include "tests/unit/store/tar_builder.h"
#include "tests/unit/temp_dir.h"

namespace wherry::store {
namespace {

// The three views as plain directories: overlayfs itself is under test in tests/system.
class ChangesTest : public testing::Test {
 protected:
  ChangesTest() {
    for (const char* view : {"upper", "merged", "base"})
      Make(view, "");
  }

  std::string At(const std::string& view, const std::string& path) const {
    return dir_ / Cat(view, "/", path);
  }
  void Make(const std::string& view, const std::string& path) {
    ASSERT_TRUE(MakeDirs(At(view, path), 0755));
  }
  void Write(const std::string& view, const std::string& path, const std::string& text = "x") {
    UniqueFd file = std::move(*Open(At(view, path), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    ASSERT_TRUE(WriteAll(file.get(), text, path));
  }
  // In the image, and so in what the container sees.
  void Image(const std::string& path) {
    Write("base", path);
    Write("merged", path);
  }
  void New(const std::string& path, const std::string& text = "x") {
    Write("upper", path, text);
    Write("merged", path, text);
  }
  // What overlayfs leaves for a name that was removed.
  void Whiteout(const std::string& path) {
    Write("upper", path);
    (void)unlink(At("merged", path).c_str());
  }

  OverlayChanges Changes(std::vector<std::string> mount_points = {}) const {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY;
    return OverlayChanges(
        {std::move(*Open(At("upper", ""), kFlags)), std::move(*Open(At("merged", ""), kFlags)),
         std::move(*Open(At("base", ""), kFlags))},
        std::move(mount_points));
  }

  std::string List(std::vector<std::string> mount_points = {}) const {
    OverlayChanges changes = Changes(std::move(mount_points));
    std::string text;
    for (;;) {
      auto change = changes.Next();
      if (!change)
        return change.error().message();
      if (!*change)
        return text;
      Append(text, "CAD"[static_cast<size_t>((*change)->kind)], " ", (*change)->path, ";");
    }
  }

  Result<std::string> Archive() const {
    ChangeArchive archive(Changes());
    return ReadToEnd(archive);
  }

  TempDir dir_;
};

TEST_F(ChangesTest, NothingChanged) {
  Image("file");
  EXPECT_EQ(List(), "");
  EXPECT_EQ(Archive()->size(), 1024u);
}

TEST_F(ChangesTest, InOrderAndWithTheDirectoriesAbove) {
  for (const char* view : {"upper", "merged", "base"})
    Make(view, "d/e");
  Make("upper", "d/unchanged");
  Make("merged", "d/unchanged");
  Make("base", "d/unchanged");
  Image("d/e/gone");
  Image("d/e/old");
  New("d/e/z");
  New("d/e/a");
  New("d/e/old", "new");
  Whiteout("d/e/gone");
  EXPECT_EQ(List(), "C d;C d/e;A d/e/a;D d/e/gone;C d/e/old;A d/e/z;");
}

TEST_F(ChangesTest, ADirectoryWithAnotherModeIsAChange) {
  for (const char* view : {"upper", "merged", "base"})
    Make(view, "d");
  ASSERT_EQ(chmod(At("merged", "d").c_str(), 0700), 0);
  EXPECT_EQ(List(), "C d;");
}

TEST_F(ChangesTest, WhatTheRuntimeMadeIsNoChange) {
  for (const char* view : {"upper", "merged"}) {
    Make(view, "proc");
    Make(view, "etc");
    Make(view, "data/volume");
  }
  New("etc/hosts", "");
  std::vector<std::string> points = {"proc", "etc/hosts", "data/volume"};
  EXPECT_EQ(List(points), "");
  New("etc/more");
  EXPECT_EQ(List(points), "A etc;A etc/more;");
  New("etc/hosts", "own");
  EXPECT_EQ(List(points), "A etc;A etc/hosts;A etc/more;");
}

TEST_F(ChangesTest, ReplacedDirectories) {
  if (geteuid() != 0)
    GTEST_SKIP() << "trusted attributes need root";
  for (const char* view : {"upper", "merged", "base"})
    Make(view, "d");
  Image("d/gone");
  unlink(At("merged", "d/gone").c_str());
  Write("merged", "d/below");  // a renamed directory: not in the upper one
  ASSERT_EQ(setxattr(At("upper", "d").c_str(), "trusted.overlay.redirect", "/e", 2, 0), 0);
  EXPECT_EQ(List(), "C d;A d/below;D d/gone;");
}

TEST_F(ChangesTest, ArchiveReadsBack) {
  std::string target(200, 't');
  std::string name = Cat(std::string(150, 'n'), "/", std::string(150, 'm'));
  Make("upper", std::string(150, 'n'));
  Make("merged", std::string(150, 'n'));
  New(name, "content");
  New("a", "hard");
  ASSERT_EQ(link(At("upper", "a").c_str(), At("upper", "b").c_str()), 0);
  Write("merged", "b", "hard");
  for (const char* view : {"upper", "merged"})
    ASSERT_EQ(symlink(target.c_str(), At(view, "link").c_str()), 0);
  Image("removed");
  Whiteout("removed");
  std::string archive = std::move(*Archive());
  EXPECT_EQ(archive, *Archive());
  StringSource source(archive);
  TarReader reader(source);
  TarEntry entry;
  std::vector<std::string> seen;
  for (;;) {
    auto next = reader.Next(entry);
    ASSERT_TRUE(next) << next.error().message();
    if (!*next)
      break;
    seen.push_back(Cat(entry.name, "|", entry.link_name, "|", entry.size));
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"a||4", "b|a|0", Cat("link|", target, "|0"),
                                            Cat(std::string(150, 'n'), "/||0"), Cat(name, "||7"),
                                            ".wh.removed||0"}));
}

TEST_F(ChangesTest, HolesStayHoles) {
  constexpr off_t kSize = off_t{1} << 30;
  for (const char* view : {"upper", "merged"}) {
    Write(view, "holes");
    UniqueFd file = std::move(*Open(At(view, "holes"), O_WRONLY));
    ASSERT_EQ(pwrite(file.get(), "end", 3, kSize - 3), 3);
  }
  std::string archive = std::move(*Archive());
  EXPECT_LT(archive.size(), size_t{1} << 20);
  StringSource source(archive);
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, "holes");
  EXPECT_TRUE(entry.sparse);
  EXPECT_EQ(entry.size, static_cast<uint64_t>(kSize));
  uint64_t end = 0;
  for (;;) {
    auto piece = reader.Data();
    ASSERT_TRUE(piece) << piece.error().message();
    if (piece->bytes.empty())
      break;
    end = piece->offset + piece->bytes.size();
  }
  EXPECT_EQ(end, static_cast<uint64_t>(kSize));
}

TEST_F(ChangesTest, NamesThatWouldBeWhiteouts) {
  New(".wh.x");
  auto archive = Archive();
  ASSERT_FALSE(archive);
  EXPECT_EQ(archive.error().code(), Errc::kUnsupported);
}

TEST_F(ChangesTest, Attributes) {
  New("file");
  if (setxattr(At("merged", "file").c_str(), "user.note", "hi\n", 3, 0) != 0)
    GTEST_SKIP() << "the file system has no user attributes";
  StringSource source(std::move(*Archive()));
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  ASSERT_EQ(entry.xattrs.size(), 1u);
  EXPECT_EQ(entry.xattrs[0].name, "user.note");
  EXPECT_EQ(entry.xattrs[0].value, "hi\n");
}

}  // namespace
}  // namespace wherry::store
