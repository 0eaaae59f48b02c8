#include "store/tar_delta_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/file_diff.h"
#include "store/tar_delta.h"
#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/files.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string Noise(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out)
    c = static_cast<char>(random());
  return out;
}

// --- Pieces

// What the pieces tell, with the old bytes where they are said to resemble.
size_t CheckPieces(const std::string& from, const std::string& to) {
  size_t at = 0;
  size_t unlike = 0;  // bytes that a delta has to carry
  for (const DiffPiece& piece : DiffBytes(from, to)) {
    EXPECT_LE(piece.match, to.size() - at);
    EXPECT_TRUE(piece.match == 0 ||
                (piece.old_at < from.size() && piece.match <= from.size() - piece.old_at));
    for (size_t i = 0; i < piece.match; ++i)
      unlike += from[piece.old_at + i] != to[at + i] ? 1 : 0;
    at += piece.match + piece.fresh;
    unlike += piece.fresh;
  }
  EXPECT_EQ(at, to.size());
  return unlike;
}

TEST(DiffBytes, FindsWhatAgrees) {
  const std::string base = Noise(100'000, 1);
  EXPECT_EQ(CheckPieces(base, base), 0U);
  EXPECT_EQ(CheckPieces(base, base.substr(0, 50'000)), 0U);
  EXPECT_EQ(CheckPieces(base, base.substr(50'000)), 0U);
  EXPECT_LE(CheckPieces(base, base.substr(60'000) + base.substr(0, 60'000)), 16U);
  EXPECT_LE(CheckPieces(base, base.substr(0, 500) + "inserted" + base.substr(500)), 16U);
  EXPECT_LE(CheckPieces(base, base.substr(0, 500) + base.substr(600)), 16U);
  EXPECT_EQ(CheckPieces(base, Noise(100, 2) + base), 100U);
}

TEST(DiffBytes, FollowsScatteredChanges) {
  const std::string base = Noise(200'000, 3);
  std::string moved = "prefix" + base;
  for (size_t i = 50; i < moved.size(); i += 40)
    moved[i] = static_cast<char>(moved[i] + 6);
  EXPECT_LE(CheckPieces(base, moved), moved.size() / 40 + 100);
}

TEST(DiffBytes, TakesAnything) {
  EXPECT_EQ(CheckPieces("", ""), 0U);
  EXPECT_EQ(CheckPieces("", "abc"), 3U);
  EXPECT_EQ(CheckPieces("abc", ""), 0U);
  EXPECT_EQ(CheckPieces("abc", "abc"), 0U);
  EXPECT_LE(CheckPieces(std::string(1000, 'a'), std::string(300'000, 'a')), 1000U);
  CheckPieces(std::string(300'000, '\0'), std::string(300'000, '\0') + "x");
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    // Few different bytes: false friends everywhere.
    std::string from(random() % 600, 'a');
    std::string to(random() % 600, 'a');
    for (char& c : from)
      c = static_cast<char>('a' + random() % 16 / 15);
    for (char& c : to)
      c = static_cast<char>('a' + random() % 16 / 15);
    CheckPieces(from, to);
  }
}

// --- Deltas

struct Made {
  std::string delta;
  std::string again;  // the new archive by the delta
};

Result<Made> RoundTrip(const std::string& from, const std::string& to) {
  TempDir temp;
  StringSource old_archive(from);
  auto files = TRY(ArchiveFiles::Read(old_archive, TRY(Open(temp / "c", O_RDWR | O_CREAT, 0600))));
  Made made;
  StringSource new_archive(to, 777);
  TRY(WriteTarDelta(new_archive, files, [&](std::span<const std::byte> bytes) -> Result<> {
    made.delta.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }));
  StringSource delta(made.delta);
  TarDeltaSource applied(delta, std::make_unique<ArchiveFiles>(std::move(files)), {});
  made.again = TRY(ReadToEnd(applied));
  return made;
}

// The size of the delta.
size_t Check(const std::string& from, const std::string& to) {
  auto made = RoundTrip(from, to);
  EXPECT_TRUE(made) << made.error().message();
  EXPECT_TRUE(made && made->again == to);
  return made ? made->delta.size() : 0;
}

TEST(WriteTarDelta, UnchangedAndRenamedFilesCostNothing) {
  std::string big = Noise(500'000, 5);
  std::string from = TarBuilder().Dir("d/").File("d/big", big).File("small", "text").Done();
  EXPECT_LT(Check(from, from), 300U);
  EXPECT_LT(Check(from, TarBuilder().File("elsewhere", big).File("twice", big).Done()), 300U);
}

TEST(WriteTarDelta, ChangedFilesCostTheirChanges) {
  std::string big = Noise(500'000, 6);
  std::string changed =
      big.substr(0, 1000) + Noise(500, 7) + big.substr(1000, 300'000) + big.substr(350'000);
  std::string from = TarBuilder().File("usr/lib/libz.so.1.2", big).Done();
  EXPECT_LT(Check(from, TarBuilder().File("usr/lib/libz.so.1.2", changed).Done()), 1000U);
  EXPECT_LT(Check(from, TarBuilder().File("lib/libz.so.1.3", changed).Done()), 1000U);
  EXPECT_GT(Check(from, TarBuilder().File("lib/other", Noise(500'000, 8)).Done()), 500'000U);
}

TEST(WriteTarDelta, AnyArchivesGoRound) {
  std::string text = Noise(5000, 9);
  std::string twice = TarBuilder().File("f", text).File("f", text + "x").Symlink("s", "f").Done();
  std::string odd = TarBuilder()
                        .File("./f", text + "y")
                        .Hardlink("h", "f")
                        .Symlink("l", "f")
                        .File("empty", "")
                        .Pax({{"path", std::string(200, 'p')}})
                        .File("short", text.substr(1))
                        .Done();
  for (const std::string& from : {twice, odd, std::string(1024, '\0')}) {
    for (const std::string& to : {twice, odd, odd + std::string(9000, '\0'), twice + "tail"})
      Check(from, to);
  }
}

TEST(WriteTarDelta, FilesThatAreThereTwiceAreNoBase) {
  TempDir temp;
  std::string text = Noise(5000, 10);
  StringSource archive(TarBuilder().File("f", text).File("g", text).Symlink("f", "x").Done());
  auto files = ArchiveFiles::Read(archive, *Open(temp / "c", O_RDWR | O_CREAT, 0600));
  ASSERT_TRUE(files);
  EXPECT_EQ(files->FindSimilar("f", 5000), nullptr);
  EXPECT_NE(files->FindSimilar("g", 5000), nullptr);
  const auto* same = files->FindSame(Digest::Of(text), 5000);
  EXPECT_TRUE(same == nullptr || same->first == "g");
}

TEST(WriteTarDelta, BrokenArchivesAreErrors) {
  std::string good = TarBuilder().File("f", Noise(5000, 11)).Done();
  EXPECT_FALSE(RoundTrip(good.substr(0, 3000), good));
  EXPECT_FALSE(RoundTrip(good, good.substr(0, 3000)));
}

}  // namespace
}  // namespace wherry::store
