// WriteErofs against CheckOut: the same archive as a mounted metadata image and as a directory on
// disk has to look the same.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <random>

#include "core/base/text.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "store/erofs_writer.h"
#include "store/layer_tree.h"
#include "store/tar_reader.h"
#include "tests/unit/store/lay_out.h"
#include "tests/unit/store/snapshot.h"

namespace wherry::store {
namespace {

class ErofsTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    LayerTree empty;
    empty.Seal();
    ASSERT_TRUE(WriteImage(empty));
    if (auto mounted = MountImage(); !mounted)
      GTEST_SKIP() << "no EROFS from a file here: " << mounted.error().message();
  }

  static Result<> Build(const std::string& tar, LayerTree& tree) {
    StringSource source(tar);
    TarReader reader(source);
    TarEntry entry;
    while (TRY(reader.Next(entry))) {
      auto file = TRY(tree.Add(entry));
      if (!file || entry.size == 0)
        continue;
      std::string content(entry.size, '\0');
      for (;;) {
        TarReader::Piece piece = TRY(reader.Data());
        if (piece.bytes.empty())
          break;
        memcpy(content.data() + piece.offset, piece.bytes.data(), piece.bytes.size());
      }
      if (content.size() <= kShownContent) {
        tree.SetInline(*file, content);
      } else {
        tree.SetObject(*file, Digest::Of(content));
      }
    }
    tree.Seal();
    return {};
  }

  Result<ErofsStats> WriteImage(const LayerTree& tree) {
    UniqueFd file = TRY(Open(temp_ / "image", O_RDWR | O_CREAT | O_TRUNC, 0600));
    return WriteErofs(tree, file.get());
  }

  Result<UniqueFd> MountImage() {
    auto context = TRY(sys::FsContext::Open("erofs"));
    TRY(context.SetString("source", temp_ / "image"));
    return context.Mount(MOUNT_ATTR_RDONLY);
  }

  void ExpectSame(const TarBuilder& tar, const std::string& what = "") {
    std::string bytes = tar.Done();
    (void)RemoveTree(temp_ / "tree");
    auto unpacked = LayOutTar(bytes, temp_ / "tree");
    LayerTree tree;
    auto built = Build(bytes, tree);
    ASSERT_EQ(unpacked.has_value(), built.has_value())
        << what << ": " << (unpacked ? "" : unpacked.error().message()) << " / "
        << (built ? "" : built.error().message());
    if (!unpacked) {
      EXPECT_EQ(unpacked.error().code(), built.error().code());
      return;
    }
    auto written = WriteImage(tree);
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_EQ(written->size_bytes, static_cast<uint64_t>(Lstat(temp_ / "image").st_size));
    auto mounted = MountImage();
    ASSERT_TRUE(mounted) << mounted.error().message();
    Snapshot image;
    Snapshot directory;
    Look(Cat("/proc/self/fd/", mounted->get(), "/."), "", image);
    Look(temp_ / "tree", "", directory);
    EXPECT_EQ(image, directory) << what;
  }

  TempDir temp_;
};

std::string Capability() {
  return std::string("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
}

TEST_F(ErofsTest, EveryKindOfFile) {
  TarBuilder tar;
  tar.Dir("./", 0751, 5)
      .Pax({{"mtime", "1234567.123456789"}, {"SCHILY.xattr.user.note", "some value"}})
      .Entry({.name = "f", .mode = 06754, .uid = 100'000, .gid = 200'000}, "content")
      .Pax({{"SCHILY.xattr.security.capability", Capability()}})
      .Entry({.name = "ping", .mode = 0755}, std::string(6000, 'p'))
      .Pax({{"SCHILY.xattr.trusted.overlay.redirect", "/etc"}})
      .File("redirected", std::string(6000, 'r'))
      .File("empty", "")
      .Dir("d", 01777)
      .Symlink("d/link", "../somewhere/else")
      .Hardlink("d/hard", "f")
      .Entry({.name = "null", .type = '3', .major = 1, .minor = 3})
      .Entry({.name = "disk", .type = '4', .major = 259, .minor = 70000})
      .Entry({.name = "fifo", .type = '6'})
      .File("d/.wh.hidden", "")
      .Dir("opaque")
      .File("opaque/.wh..wh..opq", "");
  ExpectSame(tar);
}

TEST_F(ErofsTest, SizesAroundABlock) {
  TarBuilder tar;
  for (size_t size : {1, 3967, 3968, 3969, 4031, 4032, 4033, 4095, 4096, 4097, 5000, 5001})
    tar.File(Cat("file", size), std::string(size, 'x'));
  for (size_t size : {1, 98})
    tar.Symlink(Cat("link", size), std::string(size, 'l'));
  tar.Pax({{"linkpath", std::string(4095, 't')}}).Symlink("longest", "x");
  tar.Pax({{"SCHILY.xattr.user.long", std::string(3900, 'v')}})
      .File("attributes", std::string(300, 'a'));
  ExpectSame(tar);
}

TEST_F(ErofsTest, LargeDirectories) {
  TarBuilder tar;
  for (int i = 0; i < 3000; ++i)
    tar.File(Cat("many/", i % 7 == 0 ? "!" : "", "name", i), "");
  for (size_t length = 240; length <= 255; ++length)
    tar.Pax({{"path", Cat("long/", std::string(length, 'n'))}}).File("x", "");
  ExpectSame(tar);
}

TEST_F(ErofsTest, WhatLaterEntriesReplace) {
  ExpectSame(TarBuilder().File("a/b", "1").File("a", "2"));
  ExpectSame(TarBuilder().File("a", "1").Dir("a").File("a/b", "2"));
  ExpectSame(TarBuilder().File("a/b/c", "1").Dir("a", 0700, 7).Symlink("a/b", "/x"));
  ExpectSame(TarBuilder().File("a", "1").Hardlink("b", "a").File("a", "2"));
  ExpectSame(TarBuilder().File("real/f", "1").Symlink("way", "real").File("way/g", "2"));
  ExpectSame(TarBuilder().File("a", "1").Hardlink("a", "a").Hardlink("a/b", "a"));
  ExpectSame(TarBuilder().File(".wh.d", "").Dir("d").File("d/f", "1"));
  ExpectSame(TarBuilder().File(".wh.d", "").File("d/f", "1"));
  ExpectSame(TarBuilder().Symlink("l", "l").File("l/f", "1"));
  ExpectSame(TarBuilder().Symlink("l", "missing/dir").File("l/f", "1"));
}

// Few names, so that everything happens to everything.
TEST_F(ErofsTest, RandomArchives) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    auto below = [&](int limit) {
      return static_cast<int>(random() % static_cast<unsigned>(limit));
    };
    auto name = [&] {
      std::string path;
      for (int depth = below(3); depth >= 0; --depth)
        Append(path, path.empty() ? "" : "/", std::string_view("abc").substr(random() % 3, 1));
      return path;
    };
    TarBuilder tar;
    for (int i = 0; i < 14; ++i) {
      int kind = below(10);
      std::string path = name();
      if (kind < 4) {
        tar.File(path, std::string(random() % 40, 'x'), 0600 + random() % 64);
      } else if (kind < 6) {
        tar.Dir(path, 0700 + random() % 64, 2000 + i);
      } else if (kind == 6) {
        tar.Symlink(path, Cat(below(2) == 0 ? "/" : below(3) == 0 ? "../" : "", name()));
      } else if (kind == 7) {
        tar.Hardlink(path, name());
      } else {
        size_t cut = path.rfind('/');
        std::string parent = cut == std::string::npos ? "" : path.substr(0, cut + 1);
        tar.File(kind == 8 ? Cat(parent, ".wh.", path.substr(parent.size()))
                           : Cat(parent, ".wh..wh..opq"),
                 "");
      }
    }
    ExpectSame(tar, Cat("seed ", seed));
    if (HasFailure())
      return;
  }
}

TEST_F(ErofsTest, TheSameTreeGivesTheSameBytes) {
  std::string tar = TarBuilder().File("a/b", "1").Symlink("l", "a").File("c", "2").Done();
  std::string images[2];
  for (std::string& image : images) {
    LayerTree tree;
    ASSERT_TRUE(Build(tar, tree));
    ASSERT_TRUE(WriteImage(tree));
    image = Content(temp_ / "image");
  }
  EXPECT_EQ(images[0], images[1]);
}

}  // namespace
}  // namespace wherry::store
