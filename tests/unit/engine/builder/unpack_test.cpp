#include "engine/builder/unpack.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/tar_writer.h"
#include "tests/unit/store/tar_builder.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

using store::TarEntry;
using store::TarType;

std::string Entry(const std::string& name, TarType type, const std::string& text = "") {
  TarEntry entry;
  entry.name = name;
  entry.type = type;
  entry.mode = 0755;
  entry.uid = geteuid();
  entry.gid = getegid();
  entry.mtime.seconds = 1234567;
  if (type == TarType::kRegular)
    entry.size = text.size();
  else
    entry.link_name = text;
  std::string data = type == TarType::kRegular ? text : "";
  return Cat(store::TarEntryHeader(entry), data, store::TarPadding(data.size()));
}

class UnpackTest : public testing::Test {
 protected:
  UnpackTest() { EXPECT_TRUE(MakeDirs(dir_ / "root", 0755)); }

  Result<> Take(const std::string& entries, const std::string& prefix = "",
                Devices devices = Devices::kRefuse) {
    store::StringSource source(Cat(entries, store::TarEnd()));
    UniqueFd root = std::move(*OpenDir(dir_ / "root"));
    return Unpack(source, root.get(), prefix, {devices, std::pair{geteuid(), getegid()}, 0});
  }
  std::string Text(const std::string& path) {
    return ReadFile(dir_ / Cat("root/", path)).value_or("(none)");
  }

  TempDir dir_;
};

TEST_F(UnpackTest, FilesDirectoriesAndLinks) {
  ASSERT_TRUE(Take(Cat(
      Entry("./d/", TarType::kDirectory), Entry("d/file", TarType::kRegular, "text"),
      Entry("d/link", TarType::kSymlink, "file"), Entry("hard", TarType::kHardlink, "d/file"))));
  EXPECT_EQ(Text("d/link"), "text");
  struct stat file{};
  struct stat hard{};
  struct stat directory{};
  ASSERT_EQ(stat((dir_ / "root/d/file").c_str(), &file), 0);
  ASSERT_EQ(stat((dir_ / "root/hard").c_str(), &hard), 0);
  ASSERT_EQ(stat((dir_ / "root/d").c_str(), &directory), 0);
  EXPECT_EQ(file.st_ino, hard.st_ino);
  EXPECT_EQ(file.st_mode & 07777, 0755u);
  EXPECT_EQ(file.st_mtime, 1234567);
  EXPECT_EQ(directory.st_mtime, 1234567);  // although the file came after it
}

TEST_F(UnpackTest, BelowAPrefix) {
  ASSERT_TRUE(Take(Entry("a/b", TarType::kRegular, "x"), "/new/place"));
  EXPECT_EQ(Text("new/place/a/b"), "x");
}

TEST_F(UnpackTest, NamesThatLeadOut) {
  for (const char* name : {"../x", "a/../../x", "..", "/../x"}) {
    auto taken = Take(Entry(name, TarType::kRegular, "x"));
    ASSERT_FALSE(taken) << name;
    EXPECT_EQ(taken.error().code(), Errc::kInvalid) << name;
  }
  EXPECT_FALSE(PathExists(dir_ / "x"));
  EXPECT_FALSE(Take(Entry("x", TarType::kHardlink, "../../etc/passwd")));
}

TEST_F(UnpackTest, LinksLeadNowhereElse) {
  ASSERT_TRUE(Take(
      Cat(Entry("way", TarType::kSymlink, dir_.path()), Entry("up", TarType::kSymlink, "../.."),
          Entry("way/one", TarType::kRegular, "1"), Entry("up/two", TarType::kRegular, "2"))));
  EXPECT_FALSE(PathExists(dir_ / "one"));
  EXPECT_EQ(Text("two"), "2");
  EXPECT_EQ(Text(Cat(dir_.path().substr(1), "/one")), "1");
}

// The file behind a link of the same name stays as it is.
TEST_F(UnpackTest, LaterEntriesReplaceLinks) {
  UniqueFd other = std::move(*Open(dir_ / "other", O_WRONLY | O_CREAT, 0644));
  ASSERT_TRUE(WriteAll(other.get(), std::string_view("old"), "other"));
  ASSERT_TRUE(Take(Cat(Entry("file", TarType::kSymlink, dir_ / "other"),
                       Entry("file", TarType::kRegular, "new"))));
  EXPECT_EQ(*ReadFile(dir_ / "other"), "old");
  EXPECT_EQ(Text("file"), "new");
  ASSERT_TRUE(
      Take(Cat(Entry("d/in", TarType::kRegular, "x"), Entry("d", TarType::kRegular, "file"))));
  EXPECT_EQ(Text("d"), "file");
}

TEST_F(UnpackTest, Devices) {
  auto taken = Take(Entry("pipe", TarType::kFifo));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Errc::kInvalid);
  ASSERT_TRUE(Take(Entry("pipe", TarType::kFifo), "", Devices::kMake));
  struct stat info{};
  ASSERT_EQ(lstat((dir_ / "root/pipe").c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
}

TEST_F(UnpackTest, DamagedArchives) {
  std::string whole =
      Cat(Entry("file", TarType::kRegular, std::string(5000, 'x')), store::TarEnd());
  for (size_t size : {size_t{100}, size_t{512}, size_t{3000}}) {
    store::StringSource source(whole.substr(0, size));
    UniqueFd root = std::move(*OpenDir(dir_ / "root"));
    EXPECT_FALSE(Unpack(source, root.get(), "", {})) << size;
  }
}

}  // namespace
}  // namespace wherry::engine
