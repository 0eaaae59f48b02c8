#include "cli/build_context.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/tar_reader.h"
#include "tests/unit/store/tar_builder.h"
#include "tests/unit/temp_dir.h"

namespace wherry::cli {
namespace {

class BuildContextTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text = "x") {
    std::string whole = dir_ / path;
    ASSERT_TRUE(MakeDirs(SplitPath(whole).dir, 0755));
    UniqueFd file = std::move(*Open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    ASSERT_TRUE(WriteAll(file.get(), text, path));
  }
  // Names, and what links lead to.
  std::string List(std::string_view ignore, std::vector<std::string> kept = {},
                   std::vector<ExtraFile> extras = {}) {
    BuildContext context(std::move(*OpenDir(dir_.path())),
                         std::move(*build::IgnoreList::Parse(ignore)), std::move(kept),
                         std::move(extras));
    store::TarReader reader(context);
    store::TarEntry entry;
    std::string text;
    for (;;) {
      auto next = reader.Next(entry);
      if (!next)
        return next.error().message();
      if (!*next)
        return text;
      EXPECT_EQ(entry.uid, 0u);
      Append(text, text.empty() ? "" : " ", entry.name,
             entry.link_name.empty() ? "" : Cat(">", entry.link_name));
    }
  }

  TempDir dir_;
};

TEST_F(BuildContextTest, EverythingInOrder) {
  Write("b");
  Write("a/c", std::string(5000, 'x'));
  Write("a/b", "");
  ASSERT_EQ(symlink("/etc/passwd", (dir_ / "link").c_str()), 0);
  EXPECT_EQ(List(""), "a/ a/b a/c b link>/etc/passwd");
}

TEST_F(BuildContextTest, IgnoredFiles) {
  for (const char* path : {"a/one", "a/two", "b/one", "b/c/two", "secret"})
    Write(path);
  EXPECT_EQ(List("secret\nb\n"), "a/ a/one a/two");
  EXPECT_EQ(List("secret\nb\n!b/c/two\n"), "a/ a/one a/two b/c/two");
  EXPECT_EQ(List("**/one\nb/c"), "a/ a/two b/ secret");
}

TEST_F(BuildContextTest, WhatIsKeptAndAdded) {
  Write("Dockerfile");
  Write("sub/Dockerfile");
  Write("other");
  EXPECT_EQ(List("*", {"Dockerfile"}), "Dockerfile");
  EXPECT_EQ(List("*", {"sub/Dockerfile"}), "sub/Dockerfile");
  EXPECT_EQ(List("", {}, {{"other", "new"}}), "Dockerfile sub/ sub/Dockerfile other");
}

TEST_F(BuildContextTest, WhatCannotBeSent) {
  ASSERT_EQ(mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  EXPECT_NE(List("").find("pipe is neither"), std::string::npos);
  EXPECT_EQ(List("pipe"), "");
}

TEST_F(BuildContextTest, OnlyWhatIsAdded) {
  BuildContext context(UniqueFd(), std::move(*build::IgnoreList::Parse("")), {},
                       {{"Dockerfile", "FROM x\n"}});
  store::TarReader reader(context);
  store::TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, "Dockerfile");
  EXPECT_EQ(entry.size, 7u);
  EXPECT_FALSE(*reader.Next(entry));
}

}  // namespace
}  // namespace wherry::cli
