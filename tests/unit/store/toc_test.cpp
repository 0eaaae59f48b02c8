#include "store/toc.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

constexpr uint64_t kPayload = 1000;

std::string File(std::string_view name, uint64_t offset, uint64_t end, uint64_t size = 5,
                 std::string_view content = "x") {
  return Cat(R"({"type":"reg","name":")", name, R"(","mode":420,"size":)", size,
             R"(,"modtime":"2023-11-14T22:13:20Z","xattrs":{"user.a":"eA=="},"offset":)", offset,
             R"(,"endOffset":)", end, R"(,"digest":")", Digest::Of(content).string(), "\"}");
}
std::string Table(const std::string& entries) {
  return Cat(R"({"version":1,"entries":[)", entries, R"(],"tarSplitDigest":"sha256:0"})");
}

class TocTest : public testing::Test {
 protected:
  Result<Toc> Parse(const std::string& text) {
    StringSource source(text, 11);
    return Toc::Parse(source, limits_, kPayload);
  }
  void Fails(const std::string& text, Errc code, std::string_view part) {
    auto toc = Parse(text);
    ASSERT_FALSE(toc) << part;
    EXPECT_EQ(toc.error().code(), code) << toc.error().message();
    EXPECT_NE(toc.error().message().find(part), std::string::npos) << toc.error().message();
  }
  Limits limits_;
};

TEST_F(TocTest, FilesWithContent) {
  auto toc = Parse(Table(Cat(
      R"({"type":"dir","name":"d/"},)", File("d/b", 50, 90, 7, "b"), ",",
      R"({"type":"chunk","name":"d/b","offset":70,"chunkSize":3,"chunkOffset":4},)",
      File("./a", 10, 40, 5, "a"), R"(,{"type":"reg","name":"empty"},)",
      R"({"type":"hardlink","name":"h","linkName":"a","size":5},{"type":"symlink","name":"s"})")));
  ASSERT_TRUE(toc) << toc.error().message();
  ASSERT_EQ(toc->files().size(), 2u);
  const TocFile* a = toc->Find("a", 5);
  const TocFile* b = toc->Find("./d/b", 7);
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a, &toc->files()[0]);
  EXPECT_EQ(a->digest, Digest::Of("a"));
  EXPECT_EQ(b->offset, 50u);
  EXPECT_EQ(b->end, 90u);
  EXPECT_EQ(toc->Find("a", 6), nullptr);
  EXPECT_EQ(toc->Find("h", 5), nullptr);
  EXPECT_EQ(toc->Find("c", 5), nullptr);
}

TEST_F(TocTest, KeysInAnyCaseAndTheLastOneCounts) {
  auto toc =
      Parse(Cat(R"({"VERSION":1,"Entries":[{"Name":"x","NAME":"n","TYPE":"reg","Size":3,)",
                R"("OFFSET":1,"endoffset":9,"Digest":")", Digest::Of("n").string(), "\"}]}"));
  ASSERT_TRUE(toc) << toc.error().message();
  EXPECT_NE(toc->Find("n", 3), nullptr);
}

TEST_F(TocTest, NamesThatOccurTwiceAreNotFound) {
  auto toc = Parse(Table(Cat(File("a", 10, 20), ",", File("a", 20, 30))));
  ASSERT_TRUE(toc);
  EXPECT_EQ(toc->Find("a", 5), nullptr);
}

TEST_F(TocTest, Lies) {
  Fails(Table(Cat(File("a", 10, 20), ",", File("b", 19, 30))), Errc::kInvalid, "overlap");
  Fails(Table(File("a", 10, kPayload + 1)), Errc::kInvalid, "outside of the blob");
  Fails(Table(File("a", 10, 10)), Errc::kInvalid, "'a' ends before it begins");
  Fails(Table(File("a", 10, 0)), Errc::kUnsupported, "without ends");
  Fails(Table(File("a", 10, 20, uint64_t{1} << 60)), Errc::kInvalid, "larger than a layer");
  Fails(Table(R"({"type":"reg","name":"a","size":1,"offset":1,"endOffset":2})"), Errc::kInvalid,
        "file 'a'");
  Fails(Table(R"({"type":"reg","name":"a","size":-1})"), Errc::kInvalid, "-1");
  Fails(Table(R"({"type":"reg","name":"a","size":"1"})"), Errc::kInvalid, "size is not a number");
  Fails(Table(R"({"type":7})"), Errc::kInvalid, "type is not a text");
  Fails(Table(Cat("{\"name\":\"", std::string(5000, 'n'), "\"}")), Errc::kInvalid, "too long");
}

TEST_F(TocTest, Limits) {
  limits_.max_layer_entries = 2;
  EXPECT_TRUE(Parse(Table(Cat(File("a", 1, 2), ",", File("b", 2, 3)))));
  Fails(Table(Cat(File("a", 1, 2), ",", File("b", 2, 3), ",", File("c", 3, 4))), Errc::kInvalid,
        "more than the limit of 2 files");
}

TEST_F(TocTest, OtherDocuments) {
  Fails("", Errc::kInvalid, "not an object");
  Fails("[]", Errc::kInvalid, "not an object");
  Fails("{}", Errc::kInvalid, "no version");
  Fails(R"({"version":2})", Errc::kUnsupported, "version 2");
  Fails(R"({"version":1,"entries":{}})", Errc::kInvalid, "not a list");
  Fails(R"({"version":1,"entries":[1]})", Errc::kInvalid, "not an object");
  Fails(R"({"version":1} {})", Errc::kInvalid, "something follows");
  EXPECT_TRUE(Parse(R"({"version":1})"));
}

// Whatever happens to the text, what comes out lies inside of the blob and in order.
TEST_F(TocTest, Mutations) {
  const std::string text = Table(Cat(File("a", 10, 40), ",", File("b", 50, 90)));
  for (size_t at = 0; at < text.size(); ++at) {
    for (char c : {'\0', '"', '0', '9', '}', ',', '\\'}) {
      std::string changed = text;
      changed[at] = c;
      auto toc = Parse(changed);
      uint64_t position = 0;
      for (const TocFile& file : toc ? toc->files() : std::span<const TocFile>()) {
        EXPECT_LE(position, file.offset);
        EXPECT_LT(file.offset, file.end);
        position = file.end;
      }
      EXPECT_LE(position, kPayload);
    }
    EXPECT_FALSE(Parse(text.substr(0, at)));
  }
}

}  // namespace
}  // namespace wherry::store
