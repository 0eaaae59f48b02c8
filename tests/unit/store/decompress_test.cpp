#include "store/decompress.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string Noise(size_t size) {
  std::string out(size, '\0');
  uint32_t state = 1;
  for (char& c : out) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return out;
}

Result<std::string> Unpack(std::string input, Compression declared, Limits limits = {},
                           size_t step = 1 << 20) {
  StringSource source(std::move(input), step);
  auto plain = Decompress(source, declared, limits);
  if (!plain) {
    return std::unexpected(std::move(plain).error());
  }
  return ReadToEnd(**plain);
}

const std::string kText = Noise(300'000) + std::string(400'000, 'a');

TEST(Decompress, ReadsAllFormats) {
  EXPECT_EQ(*Unpack(kText, Compression::kNone), kText);
  EXPECT_EQ(*Unpack(Gzip(kText), Compression::kGzip), kText);
  EXPECT_EQ(*Unpack(Zstd(kText), Compression::kZstd), kText);
}

TEST(Decompress, WorksByteByByte) {
  std::string small = kText.substr(299'000, 2000);
  EXPECT_EQ(*Unpack(Gzip(small), Compression::kGzip, {}, 1), small);
  EXPECT_EQ(*Unpack(Zstd(small), Compression::kZstd, {}, 1), small);
  EXPECT_EQ(*Unpack(small, Compression::kNone, {}, 1), small);
}

TEST(Decompress, JoinsMembersAndFrames) {
  EXPECT_EQ(*Unpack(Gzip("ab") + Gzip("") + Gzip("cd"), Compression::kGzip), "abcd");
  EXPECT_EQ(*Unpack(Zstd("ab") + SkippableFrame("ignored") + Zstd("cd") + SkippableFrame("toc"),
                    Compression::kZstd),
            "abcd");
  EXPECT_EQ(*Unpack(SkippableFrame(std::string(200'000, 'x')) + Zstd("cd"), Compression::kZstd),
            "cd");
}

TEST(Decompress, ContentWinsOverDeclaration) {
  std::string tar = TarBuilder().File("a", "b").Done();
  EXPECT_EQ(*Unpack(tar, Compression::kGzip), tar);
  EXPECT_EQ(*Unpack(Gzip(tar), Compression::kZstd), tar);
  EXPECT_EQ(*Unpack(Zstd(tar), Compression::kGzip), tar);
  EXPECT_EQ(*Unpack(Gzip(tar), Compression::kNone), tar);
  EXPECT_EQ(*Unpack(std::string(1024, '\0'), Compression::kGzip), std::string(1024, '\0'));
}

TEST(Decompress, RefusesWhatIsNothing) {
  for (const std::string& input : {std::string(), std::string("x"), Noise(5000)}) {
    auto plain = Unpack(input, Compression::kGzip);
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().code(), Errc::kInvalid);
    EXPECT_NE(plain.error().message().find("gzip"), std::string::npos);
  }
}

TEST(Decompress, ReportsTruncation) {
  for (const std::string& whole : {Gzip(kText), Zstd(kText)}) {
    for (size_t length : {whole.size() - 1, whole.size() - 4, whole.size() / 2, size_t{20}}) {
      auto plain = Unpack(whole.substr(0, length), Compression::kGzip);
      ASSERT_FALSE(plain) << length;
      EXPECT_EQ(plain.error().code(), Errc::kCorrupt);
      EXPECT_NE(plain.error().message().find("ends too early"), std::string::npos)
          << plain.error().message();
    }
  }
  EXPECT_FALSE(Unpack(Zstd("ab") + SkippableFrame("ignored").substr(0, 10), Compression::kZstd));
}

TEST(Decompress, ReportsDamage) {
  for (std::string whole : {Gzip(kText), Zstd(kText)}) {
    whole[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 0x55);
    // zstd frames without a checksum may decode to something else: the diffID tells.
    auto plain = Unpack(whole, Compression::kGzip);
    EXPECT_TRUE(!plain || *plain != kText);
  }
  std::string bad_crc = Gzip(kText);
  bad_crc[bad_crc.size() - 6] = static_cast<char>(~bad_crc[bad_crc.size() - 6]);
  EXPECT_EQ(Unpack(bad_crc, Compression::kGzip).error().code(), Errc::kCorrupt);
}

TEST(Decompress, TheSumOfGzipIsForThoseWhoHaveNoDigest) {
  std::string packed = Gzip(kText) + Gzip("more");
  packed[packed.size() - 8] ^= 1;  // the CRC-32 of the second member
  auto unpack = [&](GzipSum sum) -> Result<std::string> {
    StringSource source(packed);
    auto plain = TRY(Decompress(source, Compression::kGzip, {}, sum));
    return ReadToEnd(*plain);
  };
  auto checked = unpack(GzipSum::kCheck);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Errc::kCorrupt);
  auto ignored = unpack(GzipSum::kIgnore);
  ASSERT_TRUE(ignored) << ignored.error().message();
  EXPECT_EQ(*ignored, kText + "more");
}

TEST(Decompress, AcceptsOnlyZerosAfterGzip) {
  EXPECT_EQ(*Unpack(Gzip("ab") + std::string(100'000, '\0'), Compression::kGzip), "ab");
  for (const std::string& trailer :
       {std::string("garbage"), std::string(3, '\0') + "x", std::string("\x1f")}) {
    auto plain = Unpack(Gzip("ab") + trailer, Compression::kGzip);
    ASSERT_FALSE(plain) << trailer;
    EXPECT_EQ(plain.error().code(), Errc::kCorrupt);
  }
}

TEST(Decompress, AcceptsNothingAfterZstd) {
  auto plain = Unpack(Zstd("ab") + "garbage", Compression::kZstd);
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().message(), "zstd: something else follows the compressed data");
}

TEST(Decompress, LimitsTheZstdWindow) {
  std::string big = Noise(3 << 20);
  Limits limits;
  limits.max_zstd_window = 1 << 20;
  EXPECT_TRUE(Unpack(Zstd(big, 3, 20), Compression::kZstd, limits));
  auto plain = Unpack(Zstd(big, 3, 21), Compression::kZstd, limits);
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code(), Errc::kUnsupported);
  EXPECT_NE(plain.error().message().find("1048576"), std::string::npos);
}

TEST(Decompress, StopsBombs) {
  std::string zeros(80 << 20, '\0');
  Limits limits;
  limits.max_expansion = 100;
  for (const std::string& bomb : {Gzip(zeros), Zstd(zeros)}) {
    auto plain = Unpack(bomb, Compression::kGzip, limits);
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().code(), Errc::kInvalid);
    EXPECT_NE(plain.error().message().find("bomb"), std::string::npos);
  }
  // The first 64 MiB may expand at any rate.
  EXPECT_TRUE(Unpack(Gzip(zeros.substr(0, 60 << 20)), Compression::kGzip, limits));
}

}  // namespace
}  // namespace wherry::store
