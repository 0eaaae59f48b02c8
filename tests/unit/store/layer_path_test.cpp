#include "store/layer_path.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::store {
namespace {

void ExpectPath(std::string_view name, TarType type, std::string_view parent, std::string_view base,
                LayerMark mark = LayerMark::kNone) {
  auto path = ParseLayerPath(name, type);
  ASSERT_TRUE(path) << name << ": " << path.error().message();
  EXPECT_EQ(path->parent, parent) << name;
  EXPECT_EQ(path->base, base) << name;
  EXPECT_EQ(path->mark, mark) << name;
}

void ExpectRefused(std::string_view name, TarType type, std::string_view why) {
  auto path = ParseLayerPath(name, type);
  ASSERT_FALSE(path) << name;
  EXPECT_EQ(path.error().code(), Errc::kInvalid);
  EXPECT_NE(path.error().message().find(why), std::string::npos) << path.error().message();
}

TEST(LayerPath, Splits) {
  ExpectPath("a", TarType::kRegular, "", "a");
  ExpectPath("./a/b/c", TarType::kRegular, "a/b", "c");
  ExpectPath("a//b/./c/", TarType::kDirectory, "a/b", "c");
  ExpectPath("a/.", TarType::kDirectory, "", "a");
  ExpectPath("./", TarType::kDirectory, "", "");
  ExpectPath(".", TarType::kDirectory, "", "");
  ExpectPath("..a/b..", TarType::kRegular, "..a", "b..");
}

TEST(LayerPath, Refuses) {
  ExpectRefused("/etc/passwd", TarType::kRegular, "absolute");
  ExpectRefused("/", TarType::kDirectory, "absolute");
  ExpectRefused("../a", TarType::kRegular, "'..'");
  ExpectRefused("a/../b", TarType::kRegular, "'..'");
  ExpectRefused("a/..", TarType::kDirectory, "'..'");
  ExpectRefused("a/.", TarType::kRegular, "directory");
  ExpectRefused("a/./", TarType::kSymlink, "directory");
  ExpectRefused("a/", TarType::kHardlink, "directory");
  ExpectRefused(".", TarType::kSymlink, "directory");
  ExpectRefused(std::string("a\0b", 3), TarType::kRegular, "NUL");
  ExpectRefused(std::string(256, 'a'), TarType::kRegular, "too long");
  std::string deep;
  for (int i = 0; i < 129; ++i) {
    deep += "d/";
  }
  ExpectRefused(deep, TarType::kDirectory, "too deep");
  std::string longest;
  for (int i = 0; i < 20; ++i) {
    Append(longest, std::string(250, 'a'), "/");
  }
  ExpectRefused(longest, TarType::kDirectory, "too long");
}

TEST(LayerPath, Whiteouts) {
  ExpectPath("a/.wh.b", TarType::kRegular, "a", "b", LayerMark::kWhiteout);
  ExpectPath(".wh.b", TarType::kHardlink, "", "b", LayerMark::kWhiteout);
  ExpectPath("a/.wh..wh..opq", TarType::kRegular, "a", "", LayerMark::kOpaque);
  ExpectPath(".wh..wh..opq", TarType::kRegular, "", "", LayerMark::kOpaque);
  ExpectPath("a/.wh..hidden", TarType::kRegular, "a", ".hidden", LayerMark::kWhiteout);
  ExpectPath(".wh..wh.plnk/1.2", TarType::kRegular, ".wh..wh.plnk", "1.2", LayerMark::kIgnored);
  ExpectPath(".wh..wh.aufs", TarType::kRegular, "", ".wh..wh.aufs", LayerMark::kIgnored);
}

TEST(LayerPath, WhiteoutTricks) {
  for (const char* name : {".wh.", "a/.wh.", ".wh..", ".wh...", "a/.wh...", ".wh..wh.x",
                           "a/.wh..wh.aufs", ".wh..wh."}) {
    ExpectRefused(name, TarType::kRegular, "hides no valid name");
  }
  ExpectRefused(".wh.a/b", TarType::kRegular, "cannot be a directory");
  ExpectRefused("x/.wh.a/.wh.b", TarType::kRegular, "cannot be a directory");
  ExpectRefused(".wh.a", TarType::kDirectory, "must be an empty file");
  ExpectRefused(".wh..wh..opq", TarType::kDirectory, "must be an empty file");
  ExpectRefused(".wh.a", TarType::kSymlink, "must be an empty file");
}

TEST(LayerPath, LinkTargets) {
  EXPECT_EQ(ParseLinkTarget("/usr/bin/x")->parent, "usr/bin");
  EXPECT_EQ(ParseLinkTarget("./x")->base, "x");
  EXPECT_FALSE(ParseLinkTarget("../x"));
  EXPECT_FALSE(ParseLinkTarget("/"));
  EXPECT_FALSE(ParseLinkTarget(""));
}

TEST(LayerPath, Quotes) {
  EXPECT_EQ(QuoteName("a b\n\x1b[0m\xc3"), "'a b\\x0a\\x1b[0m\\xc3'");
  EXPECT_EQ(QuoteName(std::string(300, 'x')), "'" + std::string(200, 'x') + "...'");
}

}  // namespace
}  // namespace wherry::store
