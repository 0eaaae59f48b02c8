// What becomes of an archive on disk, through all the steps in between.
#include "store/checkout.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>

#include "core/base/text.h"
#include "tests/unit/store/files.h"
#include "tests/unit/store/lay_out.h"

namespace wherry::store {
namespace {

class CheckoutTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    ASSERT_EQ(mkdir((temp_ / "outside").c_str(), 0755), 0);
  }
  void TearDown() override {
    if (geteuid() == 0) {
      EXPECT_TRUE(ListDir(temp_ / "outside")->empty());
    }
  }

  void Fresh() { ASSERT_TRUE(RemoveTree(temp_ / "tree")); }

  Result<uint64_t> Write(const std::string& tar, const Limits& limits = {.reserve_bytes = 0}) {
    return TRY(LayOutTar(tar, temp_ / "tree", limits)).size_bytes;
  }
  void Expect(const TarBuilder& tar) {
    auto written = Write(tar.Done());
    ASSERT_TRUE(written) << written.error().message();
  }
  void Refused(const TarBuilder& tar, std::string_view why, Errc code = Errc::kInvalid) {
    Fresh();
    auto written = Write(tar.Done());
    ASSERT_FALSE(written) << why;
    EXPECT_EQ(written.error().code(), code) << written.error().message();
    EXPECT_NE(written.error().message().find(why), std::string::npos) << written.error().message();
  }
  std::string In(const std::string& name) const { return temp_ / ("tree/" + name); }
  bool IsWhiteoutAt(const std::string& name) const {
    struct stat info = Lstat(In(name));
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
  }
  std::string Xattr(const std::string& name, const char* key) const {
    char value[256];
    ssize_t length = lgetxattr(In(name).c_str(), key, value, sizeof(value));
    return length < 0 ? Cat("(", strerror(errno), ")")
                      : std::string(value, static_cast<size_t>(length));
  }
  bool OpaqueAt(const std::string& name) const {
    return Xattr(name, "trusted.overlay.opaque") == "y";
  }

  TempDir temp_;
};

TEST_F(CheckoutTest, FilesWithAllTheirMetadata) {
  TarBuilder tar;
  tar.Pax({{"mtime", "1234567.123456789"}})
      .Entry({.name = "f", .mode = 06754, .uid = 1000, .gid = 2000}, "content")
      .Entry({.name = "d", .type = '5', .mode = 01777, .uid = 5, .gid = 6, .mtime = 77})
      .Entry({.name = "l", .type = '2', .link = "../../outside", .uid = 7, .gid = 8, .mtime = 99});
  Expect(tar);
  struct stat file = Lstat(In("f"));
  EXPECT_EQ(file.st_mode, S_IFREG | 06754u);
  EXPECT_EQ(file.st_uid, 1000u);
  EXPECT_EQ(file.st_gid, 2000u);
  EXPECT_EQ(file.st_mtim.tv_sec, 1234567);
  EXPECT_EQ(file.st_mtim.tv_nsec, 123456789);
  EXPECT_EQ(Content(In("f")), "content");
  struct stat directory = Lstat(In("d"));
  EXPECT_EQ(directory.st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(directory.st_uid, 5u);
  EXPECT_EQ(directory.st_mtim.tv_sec, 77);
  struct stat link = Lstat(In("l"));
  EXPECT_TRUE(S_ISLNK(link.st_mode));
  EXPECT_EQ(link.st_gid, 8u);
  EXPECT_EQ(link.st_mtim.tv_sec, 99);
}

TEST_F(CheckoutTest, RootEntryAndItsDefault) {
  Expect(TarBuilder().File("a", ""));
  struct stat root = Lstat(temp_ / "tree");
  EXPECT_EQ(root.st_mode & 07777, 0755u);
  EXPECT_EQ(root.st_mtim.tv_sec, 0);
  Fresh();
  TarBuilder tar;
  tar.Entry({.name = "./", .type = '5', .mode = 0555, .uid = 3, .mtime = 42}).File("./a", "");
  Expect(tar);
  root = Lstat(temp_ / "tree");
  EXPECT_EQ(root.st_mode & 07777, 0555u);
  EXPECT_EQ(root.st_uid, 3u);
  EXPECT_EQ(root.st_mtim.tv_sec, 42);
}

TEST_F(CheckoutTest, DirectoryTimesSurviveWhatIsCreatedLater) {
  TarBuilder tar;
  tar.Dir("a", 0755, 11).Dir("a/b", 0755, 22).Dir("c", 0755, 33);
  for (const char* name : {"a/b/1", "c/1", "a/1", "a/b/2", "c/2", "a/new/deep/1", "a/b/.wh.x"}) {
    tar.File(name, "x");
  }
  tar.Symlink("a/s", "t").Hardlink("c/h", "a/1").Dir("a/b/late", 0755, 44);
  Expect(tar);
  EXPECT_EQ(Lstat(In("a")).st_mtim.tv_sec, 11);
  EXPECT_EQ(Lstat(In("a/b")).st_mtim.tv_sec, 22);
  EXPECT_EQ(Lstat(In("c")).st_mtim.tv_sec, 33);
  EXPECT_EQ(Lstat(In("a/b/late")).st_mtim.tv_sec, 44);
  EXPECT_EQ(Lstat(In("a/new")).st_mtim.tv_sec, 1000);  // the time of the entry that needed it
  EXPECT_EQ(Lstat(In("a/new/deep")).st_mtim.tv_sec, 1000);
}

TEST_F(CheckoutTest, MissingParentsAreMade) {
  Expect(TarBuilder().Entry({.name = "x/y/f", .mode = 0600, .uid = 9}, "1").Dir("x", 0700));
  EXPECT_EQ(Lstat(In("x/y")).st_mode & 07777, 0755u);
  EXPECT_EQ(Lstat(In("x/y")).st_uid, 0u);
  EXPECT_EQ(Lstat(In("x")).st_mode & 07777, 0700u);
}

TEST_F(CheckoutTest, SpecialFiles) {
  TarBuilder tar;
  tar.Entry({.name = "c", .type = '3', .mode = 0620, .uid = 1, .gid = 5, .major = 4, .minor = 300})
      .Entry({.name = "b", .type = '4', .major = 259, .minor = 1048575})
      .Entry({.name = "p", .type = '6', .mode = 0604});
  Expect(tar);
  EXPECT_EQ(Lstat(In("c")).st_mode, S_IFCHR | 0620u);
  EXPECT_EQ(Lstat(In("c")).st_gid, 5u);
  EXPECT_EQ(Lstat(In("c")).st_rdev, makedev(4, 300));
  EXPECT_EQ(Lstat(In("b")).st_rdev, makedev(259, 1048575));
  EXPECT_EQ(Lstat(In("p")).st_mode, S_IFIFO | 0604u);
  Refused(TarBuilder().Entry({.name = "c", .type = '3', .major = 4096}), "device number");
  Refused(TarBuilder().Entry({.name = "c", .type = '3', .major = 1, .minor = 1048576}),
          "device number");
}

TEST_F(CheckoutTest, Whiteouts) {
  Expect(TarBuilder()
             .Dir("d", 0755, 55)
             .File("d/.wh.gone", "")
             .File(".wh.top", "")
             .File("new/.wh.deep", "")
             .Dir("o", 0750)
             .File("o/.wh..wh..opq", "")
             .File("implied/.wh..wh..opq", "")
             .File(".wh..wh.plnk/5.6", "ignored"));
  EXPECT_TRUE(IsWhiteoutAt("d/gone"));
  EXPECT_TRUE(IsWhiteoutAt("top"));
  EXPECT_TRUE(IsWhiteoutAt("new/deep"));
  EXPECT_TRUE(OpaqueAt("o"));
  EXPECT_TRUE(OpaqueAt("implied"));
  EXPECT_FALSE(OpaqueAt("d"));
  EXPECT_EQ(Lstat(In("d")).st_mtim.tv_sec, 55);
  EXPECT_FALSE(Exists(In(".wh..wh.plnk")));
  EXPECT_FALSE(Exists(In("o/.wh..wh..opq")));
}

TEST_F(CheckoutTest, OpaqueRoot) {
  Expect(TarBuilder().File(".wh..wh..opq", ""));
  EXPECT_TRUE(OpaqueAt(""));
}

TEST_F(CheckoutTest, WhiteoutsHideOnlyWhatIsBelow) {
  // A file of the same layer stays; a directory stays and hides what the layers below have in it.
  Expect(TarBuilder()
             .File("f1", "x")
             .File(".wh.f1", "")
             .File(".wh.f2", "")
             .File("f2", "x")
             .Dir("d1")
             .File("d1/x", "")
             .File(".wh.d1", "")
             .File(".wh.d2", "")
             .Dir("d2")
             .File(".wh.d3", "")
             .File("d3/implied/x", ""));
  EXPECT_EQ(Content(In("f1")), "x");
  EXPECT_EQ(Content(In("f2")), "x");
  EXPECT_TRUE(Exists(In("d1/x")));
  EXPECT_TRUE(OpaqueAt("d1"));
  EXPECT_TRUE(OpaqueAt("d2"));
  EXPECT_TRUE(OpaqueAt("d3"));
  EXPECT_TRUE(Exists(In("d3/implied/x")));
}

TEST_F(CheckoutTest, OpaqueSurvivesTheDirectoryEntry) {
  Expect(TarBuilder().File("d/.wh..wh..opq", "").Dir("d", 0711));
  EXPECT_TRUE(OpaqueAt("d"));
  EXPECT_EQ(Lstat(In("d")).st_mode & 07777, 0711u);
}

TEST_F(CheckoutTest, LastDuplicateWins) {
  Expect(TarBuilder()
             .File("f", "first, and longer", 0755)
             .File("f", "last", 0600)
             .File("f2s", "x")
             .Symlink("f2s", "target")
             .Symlink("s2f", "/tmp/not-followed")
             .File("s2f", "x")
             .Dir("d2f")
             .File("d2f/inside", "")
             .File("d2f", "x")
             .File("f2d", "x")
             .Dir("f2d", 0700)
             .Dir("d2d", 0700)
             .File("d2d/kept", "")
             .Dir("d2d", 0711)
             .Symlink("s2d", "d2d")
             .Dir("s2d")
             .File("s2d/own", "")
             .File("f2p", "")
             .Entry({.name = "f2p", .type = '6'}));
  EXPECT_EQ(Content(In("f")), "last");
  EXPECT_EQ(Lstat(In("f")).st_mode & 07777, 0600u);
  EXPECT_TRUE(S_ISLNK(Lstat(In("f2s")).st_mode));
  EXPECT_TRUE(S_ISREG(Lstat(In("s2f")).st_mode));
  EXPECT_EQ(Content(In("d2f")), "x");
  EXPECT_TRUE(S_ISDIR(Lstat(In("f2d")).st_mode));
  EXPECT_TRUE(Exists(In("d2d/kept")));
  EXPECT_EQ(Lstat(In("d2d")).st_mode & 07777, 0711u);
  EXPECT_TRUE(S_ISDIR(Lstat(In("s2d")).st_mode));
  EXPECT_FALSE(Exists(In("d2d/own")));
  EXPECT_TRUE(S_ISFIFO(Lstat(In("f2p")).st_mode));
  EXPECT_FALSE(Exists("/tmp/not-followed"));
}

TEST_F(CheckoutTest, DuplicateOfALinkedFileLeavesTheOtherNameAlone) {
  Expect(TarBuilder().File("a", "one").Hardlink("b", "a").File("a", "two"));
  EXPECT_EQ(Content(In("a")), "two");
  EXPECT_EQ(Content(In("b")), "one");
}

TEST_F(CheckoutTest, Hardlinks) {
  Expect(TarBuilder()
             .Dir("d")
             .File("d/a", "x")
             .Hardlink("b", "d/a")
             .Hardlink("c", "/d/a")
             .Hardlink("new/e", "./d/a")
             .Hardlink("d/a", "d/a")
             .Symlink("s", "d/a")
             .Hardlink("s2", "s")
             .File("old", "y")
             .Hardlink("old", "d/a"));
  EXPECT_EQ(Lstat(In("d/a")).st_nlink, 5u);
  EXPECT_EQ(Lstat(In("old")).st_ino, Lstat(In("d/a")).st_ino);
  EXPECT_TRUE(S_ISLNK(Lstat(In("s2")).st_mode));
  EXPECT_EQ(Lstat(In("s2")).st_nlink, 2u);
}

TEST_F(CheckoutTest, HostileHardlinks) {
  Refused(TarBuilder().Hardlink("p", "/etc/passwd"), "'/etc/passwd', which is not in this layer");
  Refused(TarBuilder().Hardlink("p", "../outside"), "'..'");
  Refused(TarBuilder().Hardlink("p", "missing/x"), "not in this layer");
  Refused(TarBuilder().Hardlink("p", ""), "no target");
  Refused(TarBuilder().Dir("d").Hardlink("p", "d"), "directory");
  Refused(TarBuilder().File(".wh.w", "").Hardlink("p", "w"), "not in this layer");
  Refused(TarBuilder().Symlink("d", "/etc").Hardlink("p", "d/passwd"), "not in this layer");
  Refused(TarBuilder().Symlink("d", "../../../../../../etc").Hardlink("p", "d/passwd"),
          "not in this layer");
  Refused(TarBuilder().File("a/b", "").Hardlink("a", "a/b"), "not in this layer");
}

TEST_F(CheckoutTest, SymlinkedParentsStayInside) {
  std::string outside = temp_ / "outside";
  Expect(TarBuilder()
             .Dir("usr/lib", 0755, 77)
             .Symlink("lib", "usr/lib")
             .File("lib/a", "a")
             .Symlink("abs", "/usr")
             .File("abs/lib/b", "b")
             .Symlink("up", "../../../../usr")
             .File("up/lib/c", "c")
             .Symlink("evil", outside)
             .File("evil/f", "x")
             .Symlink("dangling", "made/by/need")
             .File("dangling/d", "d"));
  EXPECT_EQ(Content(In("usr/lib/a")), "a");
  EXPECT_EQ(Content(In("usr/lib/b")), "b");
  EXPECT_EQ(Content(In("usr/lib/c")), "c");
  EXPECT_EQ(Content(In(outside.substr(1) + "/f")), "x");  // inside the tree
  EXPECT_EQ(Content(In("made/by/need/d")), "d");
  EXPECT_EQ(Lstat(In("usr/lib")).st_mtim.tv_sec, 77);
}

TEST_F(CheckoutTest, ParentsThatCannotBe) {
  Refused(TarBuilder().File("f", "").File("f/x", ""), "is no directory");
  Refused(TarBuilder().Symlink("a", "b").Symlink("b", "a").File("a/x", ""),
          "too many symbolic links");
  Refused(TarBuilder().Entry({.name = "p", .type = '6'}).File("p/x", ""), "is no directory");
  Refused(TarBuilder().Symlink("s", "f").File("f", "").File("s/x", ""), "is no directory");
}

TEST_F(CheckoutTest, ReplacedLinkOnTheWayIsNotRemembered) {
  Expect(TarBuilder()
             .Dir("one")
             .Dir("two")
             .Symlink("s", "one")
             .File("s/a", "")
             .Symlink("s", "two")
             .File("s/b", "")
             .Symlink("self", ".")
             .File("self/c", "")
             .Dir("self/self")
             .File("self/d", ""));
  EXPECT_TRUE(Exists(In("one/a")));
  EXPECT_TRUE(Exists(In("two/b")));
  EXPECT_TRUE(Exists(In("c")));
  EXPECT_TRUE(Exists(In("self/d")));
}

TEST_F(CheckoutTest, OnlyAllowedXattrs) {
  std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  TarBuilder tar;
  tar.Pax({{"SCHILY.xattr.security.capability", capability},
           {"SCHILY.xattr.user.a", std::string("b\0c", 3)},
           {"SCHILY.xattr.user.overlay.redirect", "/x"},
           {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
           {"SCHILY.xattr.trusted.x", "y"},
           {"SCHILY.xattr.security.selinux", "label"},
           {"SCHILY.xattr.system.posix_acl_access", "nonsense"}})
      .Entry({.name = "f", .mode = 0755, .uid = 1000}, "x")
      .Pax({{"SCHILY.xattr.trusted.overlay.opaque", "y"},
            {"SCHILY.xattr.trusted.overlay.metacopy", ""},
            {"SCHILY.xattr.user.d", "1"}})
      .Dir("d");
  Expect(tar);
  EXPECT_EQ(Xattr("f", "security.capability"), capability);
  EXPECT_EQ(Xattr("f", "user.a"), std::string("b\0c", 3));
  EXPECT_EQ(Xattr("d", "user.d"), "1");
  for (const char* name : {"user.overlay.redirect", "trusted.overlay.redirect", "trusted.x",
                           "system.posix_acl_access"}) {
    EXPECT_EQ(Xattr("f", name), "(No data available)") << name;
  }
  EXPECT_NE(Xattr("f", "security.selinux"), "label");
  EXPECT_EQ(Xattr("d", "trusted.overlay.opaque"), "(No data available)");
  EXPECT_EQ(Xattr("d", "trusted.overlay.metacopy"), "(No data available)");

  Refused(TarBuilder().Pax({{"SCHILY.xattr.security.capability", "bad"}}).File("f", ""),
          "security.capability is malformed");
}

TEST_F(CheckoutTest, PosixAcls) {
  // u::rw-, u:1000:r--, g::r--, m::r--, o::---
  auto entry = [](uint16_t tag, uint16_t perm, uint32_t id) {
    std::string out;
    for (uint32_t part : {uint32_t{tag} | uint32_t{perm} << 16, id}) {
      for (int shift = 0; shift < 32; shift += 8) {
        out.push_back(static_cast<char>(part >> shift));
      }
    }
    return out;
  };
  std::string acl = std::string("\x02\0\0\0", 4) + entry(1, 6, ~0u) + entry(2, 4, 1000) +
                    entry(4, 4, ~0u) + entry(16, 4, ~0u) + entry(32, 0, ~0u);
  Expect(TarBuilder()
             .Pax({{"SCHILY.xattr.system.posix_acl_access", acl}})
             .Entry({.name = "f", .mode = 0640}, "x")
             .Pax({{"SCHILY.xattr.system.posix_acl_default", acl}})
             .Dir("d", 0750)
             .File("d/inside", "", 0600));
  std::string stored = Xattr("f", "system.posix_acl_access");
  if (stored == "(Operation not supported)") {
    GTEST_SKIP() << "this file system has no ACLs";
  }
  EXPECT_EQ(stored, acl);
  EXPECT_EQ(Lstat(In("d/inside")).st_mode & 07777, 0600u);
}

TEST_F(CheckoutTest, DuplicateDirectoryLosesOldXattrs) {
  Expect(TarBuilder().Pax({{"SCHILY.xattr.user.a", "1"}}).Dir("d").Dir("d"));
  EXPECT_EQ(Xattr("d", "user.a"), "(No data available)");
}

TEST_F(CheckoutTest, SparseFilesStaySparse) {
  constexpr uint64_t kBig = uint64_t{1} << 30;
  Expect(TarBuilder()
             .Pax({{"GNU.sparse.size", Cat(kBig)}, {"GNU.sparse.map", "536870912,4,1073741824,0"}})
             .File("s", "data"));
  struct stat info = Lstat(In("s"));
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), kBig);
  EXPECT_LT(info.st_blocks, 100);
  UniqueFd fd = *Open(In("s"), O_RDONLY);
  char buffer[4];
  ASSERT_EQ(pread(fd.get(), buffer, 4, 536870912), 4);
  EXPECT_EQ(std::string(buffer, 4), "data");
}

TEST_F(CheckoutTest, LimitsBytes) {
  auto written =
      Write(TarBuilder().File("a", std::string(600, 'x')).File("b", std::string(600, 'x')).Done(),
            {.max_layer_bytes = 1000, .reserve_bytes = 0});
  EXPECT_EQ(written.error().code(), Errc::kInvalid);
  Fresh();
  written = Write(TarBuilder()
                      .Pax({{"GNU.sparse.size", "9223372036854775807"}, {"GNU.sparse.map", "0,0"}})
                      .File("s", "")
                      .Done(),
                  {.max_layer_bytes = 1000, .reserve_bytes = 0});
  EXPECT_EQ(written.error().code(), Errc::kInvalid);
  EXPECT_NE(written.error().message().find("limit of 1000"), std::string::npos);
}

TEST_F(CheckoutTest, KeepsItsReserve) {
  auto written = Write(TarBuilder().File("a", std::string(20 << 20, 'x')).Done(),
                       {.reserve_bytes = uint64_t{1} << 60});
  EXPECT_EQ(written.error().code(), Errc::kNoSpace);
  EXPECT_FALSE(Exists(temp_ / "tree"));
}

TEST_F(CheckoutTest, NamesThatLookLikeTricks) {
  Refused(TarBuilder().File("../outside/x", ""), "'..'");
  Refused(TarBuilder().File("/abs", ""), "absolute");
  Refused(TarBuilder().Dir("a/../../outside"), "'..'");
  Refused(TarBuilder().File("d/.", ""), "directory");
  Refused(TarBuilder().Symlink("s", ""), "symbolic link");
  Refused(TarBuilder().File(".wh.a/b", ""), "whiteout");
  Refused(TarBuilder().File(".wh...", ""), "whiteout");
  Refused(TarBuilder().Pax({{"linkpath", std::string(5000, 'x')}}).Symlink("s", "x"),
          "symbolic link");
}

}  // namespace
}  // namespace wherry::store
