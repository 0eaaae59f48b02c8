#include "store/tar_reader.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

struct Read {
  TarEntry entry;
  std::string content;  // holes as zero bytes
};

Result<std::vector<Read>> ReadTar(const std::string& tar, size_t step = 1 << 20) {
  StringSource source(tar, step);
  TarReader reader(source);
  std::vector<Read> all;
  for (;;) {
    Read read;
    if (!TRY(reader.Next(read.entry))) {
      return all;
    }
    for (;;) {
      auto piece = TRY(reader.Data());
      if (piece.bytes.empty()) {
        break;
      }
      read.content.resize(piece.offset);
      read.content.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    }
    if (read.entry.sparse) {
      read.content.resize(read.entry.size);
    }
    all.push_back(std::move(read));
  }
}

void ExpectInvalid(const std::string& tar, std::string_view part, Errc code = Errc::kInvalid) {
  auto all = ReadTar(tar);
  ASSERT_FALSE(all) << part;
  EXPECT_EQ(all.error().code(), code) << all.error().message();
  EXPECT_NE(all.error().message().find(part), std::string::npos) << all.error().message();
}

TEST(TarReader, ReadsFilesOfAnySize) {
  TarBuilder tar;
  std::vector<std::string> contents;
  for (size_t size : {0, 1, 511, 512, 513, 131072, 131073, 1000000}) {
    contents.emplace_back(size, static_cast<char>('a' + contents.size()));
    tar.File(Cat("f", size), contents.back());
  }
  for (size_t step : {size_t{1 << 20}, size_t{777}, size_t{512}}) {
    auto all = ReadTar(tar.Done(), step);
    ASSERT_TRUE(all) << all.error().message();
    ASSERT_EQ(all->size(), contents.size());
    for (size_t i = 0; i < contents.size(); ++i) {
      EXPECT_EQ((*all)[i].content, contents[i]);
      EXPECT_EQ((*all)[i].entry.size, contents[i].size());
    }
  }
}

TEST(TarReader, SkipsContentNobodyReads) {
  StringSource source(TarBuilder().File("a", std::string(5000, 'x')).File("b", "y").Done());
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  ASSERT_TRUE(*reader.Next(entry));
  EXPECT_EQ(entry.name, "b");
  EXPECT_FALSE(*reader.Next(entry));
  EXPECT_FALSE(*reader.Next(entry));
}

TEST(TarReader, Types) {
  auto all = ReadTar(TarBuilder()
                         .Dir("d/")
                         .Symlink("s", "t")
                         .Hardlink("h", "f")
                         .Entry({.name = "c", .type = '3', .major = 1, .minor = 3})
                         .Entry({.name = "b", .type = '4', .major = 8, .minor = 1})
                         .Entry({.name = "p", .type = '6'})
                         .Entry({.name = "old", .type = '\0'}, "x")
                         .Entry({.name = "olddir/", .type = '\0'})
                         .Entry({.name = "contiguous", .type = '7'}, "x")
                         .Done());
  ASSERT_TRUE(all) << all.error().message();
  std::vector<TarType> expected = {TarType::kDirectory,  TarType::kSymlink,     TarType::kHardlink,
                                   TarType::kCharDevice, TarType::kBlockDevice, TarType::kFifo,
                                   TarType::kRegular,    TarType::kDirectory,   TarType::kRegular};
  ASSERT_EQ(all->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ((*all)[i].entry.type, expected[i]) << i;
  }
  EXPECT_EQ((*all)[3].entry.device_minor, 3u);
  EXPECT_EQ((*all)[1].entry.link_name, "t");
}

TEST(TarReader, LinksHaveNoDataWhateverTheySay) {
  auto all =
      ReadTar(TarBuilder()
                  .Raw(TarBuilder::Block({.name = "s", .type = '2', .link = "t", .size = 999}))
                  .File("f", "x")
                  .Done());
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(all->size(), 2u);
}

TEST(TarReader, LongNames) {
  std::string name(3000, 'n');
  std::string link(2000, 'l');
  auto all = ReadTar(TarBuilder()
                         .Entry({.name = "././@LongLink", .type = 'L'}, name + '\0')
                         .Entry({.name = "././@LongLink", .type = 'K'}, link + '\0')
                         .Symlink("short", "short")
                         .Pax({{"path", name}, {"linkpath", link}})
                         .Symlink("short", "short")
                         .Symlink("short", "short")
                         .Done());
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 3u);
  for (int i : {0, 1}) {
    EXPECT_EQ((*all)[i].entry.name, name);
    EXPECT_EQ((*all)[i].entry.link_name, link);
  }
  EXPECT_EQ((*all)[2].entry.name, "short");  // only the next entry is meant
}

TEST(TarReader, PaxOverridesEverything) {
  auto all = ReadTar(TarBuilder()
                         .Pax({{"path", "real"},
                               {"size", "3"},
                               {"uid", "4000000000"},
                               {"gid", "7"},
                               {"mtime", "-1.5"},
                               {"SCHILY.xattr.user.a", "b"}})
                         .Raw(TarBuilder::Block({.name = "f", .size = 0}))
                         .Raw(TarBuilder::Padded("abc"))
                         .File("g", "")
                         .Done());
  ASSERT_TRUE(all) << all.error().message();
  const TarEntry& entry = (*all)[0].entry;
  EXPECT_EQ(entry.name, "real");
  EXPECT_EQ((*all)[0].content, "abc");
  EXPECT_EQ(entry.uid, 4000000000u);
  EXPECT_EQ(entry.gid, 7u);
  EXPECT_EQ(entry.mtime.seconds, -2);
  EXPECT_EQ(entry.mtime.nanos, 500000000u);
  EXPECT_EQ(entry.xattrs.size(), 1u);
  EXPECT_EQ((*all)[1].entry.name, "g");
  EXPECT_TRUE((*all)[1].entry.xattrs.empty());
}

TEST(TarReader, GlobalHeadersAndLabelsChangeNothing) {
  auto all = ReadTar(TarBuilder()
                         .Pax({{"path", "evil"}, {"uid", "5"}, {"comment", "c"}}, 'g')
                         .Entry({.name = "label", .type = 'V'})
                         .File("f", "x")
                         .Done());
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ((*all)[0].entry.name, "f");
  EXPECT_EQ((*all)[0].entry.uid, 0u);
}

TEST(TarReader, EndMarkers) {
  TarBuilder tar;
  tar.File("f", "x");
  EXPECT_EQ(ReadTar(tar.Done() + "anything after the end")->size(), 1u);
  EXPECT_EQ(ReadTar(tar.Unfinished())->size(), 1u);
  EXPECT_EQ(ReadTar(tar.Unfinished() + std::string(512, '\0'))->size(), 1u);
  EXPECT_EQ(ReadTar(tar.Done() + std::string(9000, '\0'))->size(), 1u);
  EXPECT_EQ(ReadTar("")->size(), 0u);
  EXPECT_EQ(ReadTar(std::string(1024, '\0'))->size(), 0u);
  ExpectInvalid(tar.Unfinished() + std::string(512, '\0') + tar.Done(), "zero block");
}

TEST(TarReader, ReadsItsSourceToTheEnd) {
  StringSource source(TarBuilder().File("f", "x").Done() + std::string(300'000, 'x'), 1000);
  TarReader reader(source);
  TarEntry entry;
  ASSERT_TRUE(*reader.Next(entry));
  ASSERT_FALSE(*reader.Next(entry));
  std::byte buffer[10];
  EXPECT_EQ(*source.Read(buffer), 0u);
}

TEST(TarReader, Truncation) {
  std::string tar = TarBuilder().File("f", std::string(600, 'x')).Unfinished();
  ExpectInvalid(tar.substr(0, 300), "ends in the middle", Errc::kCorrupt);
  ExpectInvalid(tar.substr(0, 512), "ends in the middle", Errc::kCorrupt);
  ExpectInvalid(tar.substr(0, 1000), "ends in the middle", Errc::kCorrupt);
  ExpectInvalid(tar.substr(0, 1200), "ends in the middle", Errc::kCorrupt);
  ExpectInvalid(TarBuilder().Pax({{"path", "x"}}).Unfinished(), "without an entry");
  ExpectInvalid(TarBuilder().Pax({{"path", "x"}}).Done(), "without an entry");
}

TEST(TarReader, HostileHeaders) {
  ExpectInvalid(std::string(600, 'x'), "checksum");
  ExpectInvalid(TarBuilder().Entry({.name = "f", .type = 'Q'}).Done(), "unknown type 81");
  ExpectInvalid(TarBuilder().Entry({.name = "f", .type = 'M'}).Done(), "unknown type");
  ExpectInvalid(TarBuilder().Entry({.name = ""}).Done(), "without a name");
  ExpectInvalid(TarBuilder().Pax({{"uid", "4294967295"}}).File("f", "").Done(), "uid");
  ExpectInvalid(TarBuilder().Pax({{"gid", "99999999999"}}).File("f", "").Done(), "gid");
  ExpectInvalid(
      TarBuilder().Raw(TarBuilder::Block({.name = "x", .type = 'x', .size = 5 << 20})).Done(),
      "extended header of 5242880 bytes");
  ExpectInvalid(
      TarBuilder().Raw(TarBuilder::Block({.name = "x", .type = 'L', .size = 5 << 20})).Done(),
      "extended header");
  ExpectInvalid(TarBuilder().Pax({{"size", "9223372036854775807"}}).File("f", "x").Done(),
                "ends in the middle", Errc::kCorrupt);
}

// --- sparse files ---

std::string SparseExpected() {
  std::string content(10000, '\0');
  content.replace(1024, 512, 512, 'a');
  content.replace(4096, 100, 100, 'b');
  return content;
}

const std::string kSparseData = std::string(512, 'a') + std::string(100, 'b');

std::string OldGnuSparse(bool extended) {
  std::string block = TarBuilder::Block({.name = "s", .type = 'S', .size = kSparseData.size()});
  memcpy(block.data() + 257, "ustar  \0", 8);
  auto octal = [](std::string& where, size_t offset, uint64_t value) {
    char text[16];
    snprintf(text, sizeof(text), "%011llo", static_cast<unsigned long long>(value));
    memcpy(where.data() + offset, text, 12);
  };
  octal(block, 386, 1024);
  octal(block, 398, 512);
  std::string extension(512, '\0');
  std::string& second = extended ? extension : block;
  size_t at = extended ? 0 : 410;
  octal(second, at, 4096);
  octal(second, at + 12, 100);
  block[482] = extended ? 1 : 0;
  octal(block, 483, 10000);
  TarBuilder::Seal(block);
  return TarBuilder()
      .Raw(block)
      .Raw(extended ? extension : "")
      .Raw(TarBuilder::Padded(kSparseData))
      .File("after", "x")
      .Done();
}

void ExpectSparse(const std::string& tar) {
  auto all = ReadTar(tar);
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].entry.name, "s");
  EXPECT_TRUE((*all)[0].entry.sparse);
  EXPECT_EQ((*all)[0].entry.size, 10000u);
  EXPECT_EQ((*all)[0].content, SparseExpected());
  EXPECT_EQ((*all)[1].content, "x");
}

TEST(TarReader, SparseOldGnu) {
  ExpectSparse(OldGnuSparse(false));
  ExpectSparse(OldGnuSparse(true));
}

TEST(TarReader, SparsePax00) {
  ExpectSparse(TarBuilder()
                   .Pax({{"GNU.sparse.size", "10000"},
                         {"GNU.sparse.numblocks", "3"},
                         {"GNU.sparse.offset", "1024"},
                         {"GNU.sparse.numbytes", "512"},
                         {"GNU.sparse.offset", "2000"},
                         {"GNU.sparse.numbytes", "0"},
                         {"GNU.sparse.offset", "4096"},
                         {"GNU.sparse.numbytes", "100"}})
                   .File("s", kSparseData)
                   .File("after", "x")
                   .Done());
}

TEST(TarReader, SparsePax01) {
  ExpectSparse(TarBuilder()
                   .Pax({{"GNU.sparse.name", "s"},
                         {"GNU.sparse.size", "10000"},
                         {"GNU.sparse.numblocks", "3"},
                         {"GNU.sparse.map", "1024,512,4096,100,10000,0"}})
                   .File("GNUSparseFile.1/s", kSparseData)
                   .File("after", "x")
                   .Done());
}

TEST(TarReader, SparsePax10) {
  std::string map = TarBuilder::Padded("3\n1024\n512\n4096\n100\n10000\n0\n");
  ExpectSparse(TarBuilder()
                   .Pax({{"GNU.sparse.major", "1"},
                         {"GNU.sparse.minor", "0"},
                         {"GNU.sparse.name", "s"},
                         {"GNU.sparse.realsize", "10000"}})
                   .File("GNUSparseFile.1/s", map + kSparseData)
                   .File("after", "x")
                   .Done());
}

TEST(TarReader, HostileSparseFiles) {
  auto sparse = [](const std::string& map, const std::string& data, const std::string& size) {
    return TarBuilder()
        .Pax({{"GNU.sparse.size", size}, {"GNU.sparse.map", map}})
        .File("s", data)
        .Done();
  };
  ExpectInvalid(sparse("0,5,3,5", "0123456789", "100"), "overlap");
  ExpectInvalid(sparse("50,5,10,5", "0123456789", "100"), "overlap");
  ExpectInvalid(sparse("96,10", "0123456789", "100"), "outside");
  ExpectInvalid(sparse("18446744073709551610,10", "0123456789", "100"), "outside");
  ExpectInvalid(sparse("0,5", "0123456789", "100"), "10 bytes of data for pieces of 5 bytes");
  ExpectInvalid(sparse("0,50", "0123456789", "100"), "pieces of 50");
  auto one = [](const std::string& data) {
    return TarBuilder()
        .Pax({{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "10000"}})
        .File("s", data)
        .Done();
  };
  ExpectInvalid(one("x\n"), "malformed map");
  ExpectInvalid(one("99999999\n"), "more than 65536 pieces");
  ExpectInvalid(one("2\n1\n"), "malformed map");
  ExpectInvalid(one("11111111111111111111111111111111"), "malformed map");
  ExpectInvalid(one("1\n0\n5\n"), "map is longer");
  ExpectInvalid(
      TarBuilder().Pax({{"GNU.sparse.major", "2"}, {"GNU.sparse.minor", "0"}}).File("s", "").Done(),
      "unknown format 2");
}

}  // namespace
}  // namespace wherry::store
