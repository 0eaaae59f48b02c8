#include "engine/build/ignore.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "engine/build/path.h"

namespace wherry::build {
namespace {

bool Ignored(std::string_view patterns, std::string_view path) {
  auto list = IgnoreList::Parse(patterns);
  EXPECT_TRUE(list) << list.error().message();
  return list && list->Ignores(path);
}

// Pattern, path, whether it matches: as in Docker's patternmatcher.
struct Case {
  std::string_view pattern;
  std::string_view path;
  bool matches;
};

TEST(Ignore, Patterns) {
  constexpr Case kCases[] = {
      {"**", "file", true},
      {"**/", "dir/file", true},
      {"**/**", "dir/file", true},
      {"dir/**", "dir/dir2/file", true},
      {"dir/**", "dir", false},
      {"**/dir", "dir", true},
      {"**/dir", "dir/file", true},
      {"**/dir2/*", "dir/dir2/file", true},
      {"**/dir2/**", "dir/dir2/dir3/file", true},
      {"**file", "file", true},
      {"**file", "dir/dir/file", true},
      {"**file", "dir/afile", true},
      {"**file*", "dir/afile", false},
      {"**/file", "dir/afile", false},
      {"**/file*txt", "dir/dir/file.txt", true},
      {"**/file*.txt*", "dir/dir/file.txt", true},
      {"**/**/*.txt", "file.txt", true},
      {"**/**/*.txt2", "dir/dir/file.txt", false},
      {"a**/*.txt", "a/file.txt", true},
      {"a**/*.txt", "a/dir/dir/file.txt", true},
      {"a/*.txt", "a/dir/file.txt", false},
      {"a/*.txt**", "a/file.txt", true},
      {"a[b-d]e", "ae", false},
      {"a[b-d]e", "ace", true},
      {"a[b-d]e", "aae", false},
      {"a[^b-d]e", "aze", true},
      {".*", ".foo", true},
      {".*", "foo", false},
      {"abc.def", "abcZdef", false},
      {"abc?def", "abcZdef", true},
      {"abc?def", "abcdef", false},
      {"a\\\\", "a\\", true},
      {"a\\*b", "a*b", true},
      {"a\\*b", "axb", false},
      {"**/foo/bar", "dir/dir2/foo/bar", true},
      {"**/.foo", "bar.foo", false},
      {"a.|)$(}+{bc", "a.|)$(}+{bc", true},
      {"dist/*.whl", "dist/p-0+g0-any.whl", true},
      {"*", "fileutils.go", true},
      {"a*b*c*d*e*/f", "axbxcxdxexxx/f", true},
      {"a*b*c*d*e*/f", "axbxcxdxexxx/fff", false},
      {"a*b?c*x", "abxbbxdbxebxczzx", true},
      {"a*b?c*x", "abxbbxdbxebxczzy", false},
      {"a?b", "a☺b", true},
      {"a???b", "a☺b", false},
      {"a[^a]b", "a☺b", true},
      {"[a-ζ]*", "α", true},
      {"*[a-ζ]", "A", false},
      {"a?b", "a/b", false},
      {"a*b", "a/b", false},
      {"[\\]a]", "]", true},
      {"[x\\-]", "-", true},
      {"[\\-x]", "a", false},
      {"/abs/path", "abs/path", true},
      {"dir/", "dir/x", true},
      {"./a/../b//c/", "b/c", true},
      {"?", "\xff", true},
  };
  for (const Case& row : kCases)
    EXPECT_EQ(Ignored(row.pattern, row.path), row.matches) << row.pattern << " " << row.path;
}

TEST(Ignore, LastMatchWins) {
  EXPECT_FALSE(Ignored("docs\n!docs/readme.txt", "docs/readme.txt"));
  EXPECT_TRUE(Ignored("docs\n!docs/readme.txt", "docs/other.txt"));
  EXPECT_FALSE(Ignored("docs/\n!docs/readme.txt", "docs/readme.txt"));
  EXPECT_TRUE(Ignored("!a.go\n*.go", "a.go"));
  EXPECT_FALSE(Ignored("**\n!util/web", "util/web/foo"));
  EXPECT_TRUE(Ignored("**\n!util/web\nutil/web/foo", "util/web/foo"));
  EXPECT_FALSE(Ignored("*.md\n! /a.md", "a.md"));
}

TEST(Ignore, CommentsAndBlanks) {
  EXPECT_TRUE(Ignored("\xEF\xBB\xBF# a\n\n  b  \r\n", "b"));
  EXPECT_FALSE(Ignored("#a", "#a"));
  EXPECT_FALSE(Ignored("", "a"));
}

TEST(Ignore, Malformed) {
  for (std::string_view pattern :
       {"[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[a\\", "[a-"}) {
    auto list = IgnoreList::Parse(Cat("ok\n", pattern));
    ASSERT_FALSE(list) << pattern;
    EXPECT_EQ(list.error().message(), Cat(".dockerignore:2: syntax error in pattern: ", pattern));
  }
  auto list = IgnoreList::Parse("!");
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().message(), ".dockerignore:1: illegal exclusion pattern: \"!\"");
}

TEST(Ignore, TreesThatMayBeSkipped) {
  struct TreeCase {
    std::string_view patterns;
    std::string_view directory;
    bool skipped;
  };
  constexpr TreeCase kCases[] = {
      {"node_modules", "node_modules", true},
      {"node_modules", "src", false},
      {"a\n!a/b/c", "a", false},
      {"a\n!a/b/c", "a/b", false},
      {"a\n!a/b/c", "a/x", true},
      {"a\n!a/b/c", "a/b2", true},
      {"*\n!src", "src", false},
      {"*\n!src", "doc", true},
      {"*\n!**/keep", "doc", false},
      {"*\n!src/*.c", "src", false},
      {"*\n!src/*.c", "srcs", true},
      {"*\n!s*/x", "doc", true},
      {"a\n!a", "a", false},
      {"a/*", "a", false},
  };
  for (const TreeCase& row : kCases) {
    auto list = IgnoreList::Parse(row.patterns);
    ASSERT_TRUE(list);
    EXPECT_EQ(list->IgnoresTree(row.directory), row.skipped)
        << row.patterns << " " << row.directory;
  }
}

TEST(Ignore, Bounds) {
  EXPECT_FALSE(IgnoreList::Parse(std::string(kMaxPatternBytes + 1, 'a')));
  EXPECT_FALSE(IgnoreList::Parse(std::string(kMaxIgnoreBytes + 1, '\n')));
  std::string many;
  for (size_t i = 0; i <= kMaxIgnorePatterns; ++i)
    many += "a\n";
  auto list = IgnoreList::Parse(many);
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().message(), ".dockerignore:2001: more than 2000 patterns");
  // No blow-up of a pattern with many stars.
  std::string stars;
  for (int i = 0; i < 300; ++i)
    stars += "*a";
  EXPECT_FALSE(Ignored(stars + "b", std::string(2000, 'a')));
}

TEST(CleanPath, AsGoDoes) {
  constexpr std::string_view kCases[][2] = {
      {"", "."},
      {".", "."},
      {"a//b/./c/", "a/b/c"},
      {"a/../b", "b"},
      {"../a", "../a"},
      {"a/../..", ".."},
      {"/..", "/"},
      {"/a/../../b", "/b"},
      {"/", "/"},
      {"../../a", "../../a"},
  };
  for (const auto& [path, clean] : kCases)
    EXPECT_EQ(CleanPath(path), clean) << path;
}

}  // namespace
}  // namespace wherry::build
