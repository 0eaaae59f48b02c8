#include "store/ingest.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/lay_out.h"

namespace wherry::store {
namespace {

class IngestTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT(); }

  struct Job {
    std::string blob;
    Compression compression = Compression::kGzip;
    std::optional<Digest> blob_digest = {};
    std::optional<uint64_t> blob_size = {};
    std::optional<Errc> cut = {};
  };

  Result<LayerInfo> Run(const Job& job, const Digest& diff_id) {
    StringSource source(job.blob);
    if (job.cut) {
      source.FailAtEnd(*job.cut);
    }
    return LayOut().Run({.source = &source,
                         .compression = job.compression,
                         .blob_digest = job.blob_digest,
                         .blob_size = job.blob_size,
                         .diff_id = diff_id},
                        limits_, progress_, temp_ / "layer");
  }
  void Fails(const Job& job, const Digest& diff_id, Errc code, std::string_view part) {
    auto info = Run(job, diff_id);
    ASSERT_FALSE(info) << part;
    EXPECT_EQ(info.error().code(), code) << info.error().message();
    EXPECT_NE(info.error().message().find(part), std::string::npos) << info.error().message();
  }

  TempDir temp_;
  Limits limits_{.reserve_bytes = 0};
  IngestProgress progress_;
  const std::string tar_ = TarBuilder().Dir("d").File("d/f", std::string(300'000, 'x')).Done();
  const Digest diff_id_ = Digest::Of(tar_);
};

TEST_F(IngestTest, AllCompressions) {
  for (const auto& [blob, compression] : {std::pair{tar_, Compression::kNone},
                                          {Gzip(tar_), Compression::kGzip},
                                          {Zstd(tar_), Compression::kZstd}}) {
    auto info = Run({blob, compression, Digest::Of(blob), blob.size()}, diff_id_);
    ASSERT_TRUE(info) << info.error().message();
    EXPECT_EQ(info->size_bytes, 300'000u);
    EXPECT_EQ(info->diff_id, diff_id_);
    EXPECT_EQ(Lstat(temp_ / "layer/d/f").st_size, 300'000);
    ASSERT_TRUE(RemoveTree(temp_ / "layer"));
  }
}

TEST_F(IngestTest, DiffIdCoversWhatFollowsTheEndMarker) {
  std::string longer = tar_ + std::string(20'000, '\0') + "x";
  EXPECT_TRUE(Run({Gzip(longer)}, Digest::Of(longer)));
}

TEST_F(IngestTest, ArchiveWithoutEndMarker) {
  std::string open = TarBuilder().File("f", "x").Unfinished();
  EXPECT_TRUE(Run({Gzip(open)}, Digest::Of(open)));
}

TEST_F(IngestTest, WrongContent) {
  std::string blob = Gzip(tar_);
  Fails({blob}, Digest::Of("other"), Errc::kCorrupt, "diffID");
  Fails({blob, Compression::kGzip, Digest::Of("other")}, diff_id_, Errc::kCorrupt,
        "its blob does not match its digest");
  Fails({blob, Compression::kGzip, Digest::Of(blob), blob.size() - 1}, diff_id_, Errc::kCorrupt,
        "longer than");
  Fails({blob, Compression::kGzip, Digest::Of(blob), blob.size() + 1}, diff_id_, Errc::kCorrupt,
        "ended after");
  Fails({blob.substr(0, blob.size() - 10)}, diff_id_, Errc::kCorrupt, "ends too early");
}

TEST_F(IngestTest, DamageOnTheWayIsToldFromABrokenArchive) {
  std::string blob = Gzip(tar_);
  Digest right = Digest::Of(blob);
  blob[blob.size() / 2] = static_cast<char>(~blob[blob.size() / 2]);
  Fails({blob, Compression::kGzip, right}, diff_id_, Errc::kCorrupt, "its blob does not match");
  std::string page = "<html>an error page</html>";
  Fails({page, Compression::kGzip, right}, diff_id_, Errc::kCorrupt, "its blob does not match");
  std::string hostile = Gzip(TarBuilder().File("../x", "").Done());
  Fails({hostile, Compression::kGzip, Digest::Of(hostile)}, diff_id_, Errc::kInvalid,
        "entry '../x': names with '..' are refused");
}

TEST_F(IngestTest, ErrorsOfTheSourceComeThrough) {
  std::string blob = Gzip(tar_);
  Fails({.blob = blob.substr(0, 100), .blob_digest = Digest::Of(blob), .cut = Errc::kUnavailable},
        diff_id_, Errc::kUnavailable, "the connection was cut");
}

TEST_F(IngestTest, ErrorsNameTheLayerAndTheEntry) {
  std::string tar = TarBuilder().File("ok", "").File("/etc/\npasswd", "").Done();
  auto info = Run({tar, Compression::kNone}, Digest::Of(tar));
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().message(), Cat("layer ", Digest::Of(tar).hex().substr(0, 12),
                                        ": entry '/etc/\\x0apasswd': absolute names are refused"));
  std::string bad = TarBuilder().Entry({.name = "odd", .type = 'Q'}).Done();
  Fails({bad, Compression::kNone}, Digest::Of(bad), Errc::kInvalid, "entry 'odd': tar entry of");
}

TEST_F(IngestTest, TooManyEntries) {
  limits_.max_layer_entries = 3;
  TarBuilder tar;
  tar.File("1", "").File("2", "").File("3", "");
  EXPECT_TRUE(Run({tar.Done(), Compression::kNone}, Digest::Of(tar.Done())));
  ASSERT_TRUE(RemoveTree(temp_ / "layer"));
  tar.File("4", "");
  Fails({tar.Done(), Compression::kNone}, Digest::Of(tar.Done()), Errc::kInvalid,
        "more than the limit of 3 entries");
}

TEST_F(IngestTest, TooManyBytes) {
  limits_.max_layer_bytes = 100'000;
  Fails({Gzip(tar_)}, diff_id_, Errc::kInvalid, "limit of 100000 bytes");
  // Neither extended headers nor what follows the end may be endless.
  std::string trailing = TarBuilder().File("f", "").Done() + std::string(70 << 20, '\0');
  Fails({Gzip(trailing)}, Digest::Of(trailing), Errc::kInvalid, "longer than the limit");
}

TEST_F(IngestTest, Bomb) {
  std::string tar = TarBuilder().File("f", std::string(100 << 20, '\0')).Done();
  limits_.max_expansion = 50;
  Fails({Gzip(tar)}, Digest::Of(tar), Errc::kInvalid, "bomb");
}

TEST_F(IngestTest, Cancel) {
  uint64_t last = 0;
  progress_ = [&](uint64_t bytes) {
    EXPECT_GE(bytes, last);
    last = bytes;
    return bytes < 100'000;
  };
  Fails({Gzip(tar_)}, diff_id_, Errc::kCancelled, "cancelled");
  EXPECT_GT(last, 0u);
  EXPECT_LT(last, 300'000u);
}

// Every byte of an archive comes back, whatever the store makes of it: LayOut compares.
TEST_F(IngestTest, ArchivesComeBackBitForBit) {
  TarBuilder tar;
  tar.File("small", "x")
      .File("small", "replaced")
      .File("large", std::string(600'000, 'l'))
      .File("again", std::string(600'000, 'l'))
      .File(".wh..wh.plnk/1", "ignored")
      .Pax({{"GNU.sparse.size", "3000000"}, {"GNU.sparse.map", "0,3,1000000,4,2000000,0"}})
      .File("sparse", "abcdefg")
      .Hardlink("link", "large")
      .Entry({.name = "fifo", .type = '6'});
  std::string archive = tar.Done() + std::string(70'000, '\0') + "after the end";
  for (size_t inline_bytes : {size_t{0}, size_t{512}, kPrivateBytes}) {
    StringSource source(archive, 1000);
    LayOut lay_out(inline_bytes);
    auto info = lay_out.Run({.source = &source, .diff_id = Digest::Of(archive)}, limits_, progress_,
                            temp_ / "layer");
    ASSERT_TRUE(info) << info.error().message();
    ASSERT_TRUE(RemoveTree(temp_ / "layer"));
    EXPECT_EQ(lay_out.objects(), inline_bytes == 0 ? 4u : 2u);
  }
}

// What a layer of many small files keeps in memory has an end.
TEST_F(IngestTest, OnlyTheFirstSmallFilesAreKeptInTheTree) {
  TarBuilder tar;
  for (int i = 0; i < 30; ++i)
    tar.File(Cat("file", i), std::string(100, static_cast<char>('a' + i)));
  std::string archive = tar.File("large", std::string(101, 'x')).Done();
  StringSource source(archive);
  LayOut lay_out(100, 1050);
  auto info = lay_out.Run({.source = &source, .diff_id = Digest::Of(archive)}, limits_, progress_,
                          temp_ / "layer");
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(lay_out.objects(), 21u);
  EXPECT_EQ(Content(temp_ / "layer/file9"), std::string(100, 'j'));
  EXPECT_EQ(Content(temp_ / "layer/file29"), std::string(100, 'a' + 29));
}

TEST_F(IngestTest, ContentIsWrittenOnce) {
  std::string one(100'000, '1');
  std::string tar = TarBuilder().File("a", one).File("b", one, 0600).File("c", one).Done();
  StringSource source(tar);
  LayOut lay_out(0);
  ASSERT_TRUE(lay_out.Run({.source = &source, .diff_id = Digest::Of(tar)}, limits_, progress_,
                          temp_ / "layer"));
  EXPECT_EQ(lay_out.written_bytes(), 100'000u);
  // Links where all metadata agree, a copy where they do not.
  EXPECT_EQ(Lstat(temp_ / "layer/a").st_ino, Lstat(temp_ / "layer/c").st_ino);
  EXPECT_NE(Lstat(temp_ / "layer/a").st_ino, Lstat(temp_ / "layer/b").st_ino);
  EXPECT_EQ(Content(temp_ / "layer/b"), one);
}

}  // namespace
}  // namespace wherry::store
