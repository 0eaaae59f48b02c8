#include "store/tar_header.h"

#include <gtest/gtest.h>

#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

TEST(TarHeader, DecodesUstar) {
  auto header = DecodeTarHeader(TarBuilder::Block({.name = "name",
                                                   .type = '3',
                                                   .link = "target",
                                                   .mode = 04755,
                                                   .uid = 1000,
                                                   .gid = 100,
                                                   .size = 12345,
                                                   .mtime = 1700000000,
                                                   .major = 8,
                                                   .minor = 17,
                                                   .prefix = "some/dir"}));
  ASSERT_TRUE(header) << header.error().message();
  EXPECT_EQ(header->name, "some/dir/name");
  EXPECT_EQ(header->link_name, "target");
  EXPECT_EQ(header->mode, 04755);
  EXPECT_EQ(header->uid, 1000);
  EXPECT_EQ(header->gid, 100);
  EXPECT_EQ(header->size, 12345u);
  EXPECT_EQ(header->mtime, 1700000000);
  EXPECT_EQ(header->device_major, 8);
  EXPECT_EQ(header->device_minor, 17);
}

TEST(TarHeader, NamesMayFillTheirFields) {
  auto header = DecodeTarHeader(
      TarBuilder::Block({.name = std::string(100, 'n'), .prefix = std::string(155, 'p')}));
  EXPECT_EQ(header->name, std::string(155, 'p') + "/" + std::string(100, 'n'));
}

TEST(TarHeader, GnuAndV7HaveNoPrefix) {
  std::string block = TarBuilder::Block({.name = "name", .prefix = "times"});
  memcpy(block.data() + 257, "ustar  \0", 8);
  TarBuilder::Seal(block);
  EXPECT_EQ(DecodeTarHeader(block)->name, "name");
  memset(block.data() + 257, 0, 8);
  memset(block.data() + 329, 'x', 16);  // no device numbers in V7
  TarBuilder::Seal(block);
  EXPECT_EQ(DecodeTarHeader(block)->name, "name");
}

TEST(TarHeader, StarHasAShorterPrefix) {
  std::string block = TarBuilder::Block({.name = "name", .prefix = std::string(131, 'p')});
  memcpy(block.data() + 476, "0000012", 7);  // atime
  memcpy(block.data() + 508, "tar\0", 4);
  TarBuilder::Seal(block);
  EXPECT_EQ(DecodeTarHeader(block)->name, std::string(131, 'p') + "/name");
}

TEST(TarHeader, RefusesWrongChecksums) {
  std::string block = TarBuilder::Block({.name = "name"});
  block[0] = 'N';
  EXPECT_EQ(DecodeTarHeader(block).error().code(), Errc::kInvalid);
}

TEST(TarHeader, AcceptsSignedChecksums) {
  std::string block = TarBuilder::Block({.name = "n\xe4me"});
  int sum = 0;
  memset(block.data() + 148, ' ', 8);
  for (char c : block) {
    sum += static_cast<signed char>(c);
  }
  char text[16];
  snprintf(text, sizeof(text), "%06o", static_cast<unsigned>(sum));
  memcpy(block.data() + 148, text, 7);
  EXPECT_TRUE(DecodeTarHeader(block));
}

TEST(TarHeader, Numbers) {
  auto number = [](std::string_view text) { return DecodeTarNumber(text, "it"); };
  EXPECT_EQ(*number("0000644\0"), 0644);
  EXPECT_EQ(*number("   644 \0"), 0644);
  EXPECT_EQ(*number("644 junk"), 0644);
  EXPECT_EQ(*number(std::string_view("\0\0\0\0", 4)), 0);
  EXPECT_EQ(*number("777777777777"), 0777777777777);
  EXPECT_FALSE(number("0000698"));
  EXPECT_FALSE(number("-000001"));
  EXPECT_FALSE(number("0x10"));
  EXPECT_EQ(*number(std::string_view("\x80\0\0\0\0\0\x01\0", 8)), 256);
  EXPECT_EQ(*number("\xff\xff\xff\xff\xff\xff\xff\xfe"), -2);
  EXPECT_EQ(*number(std::string_view("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)), INT64_MAX);
  EXPECT_FALSE(number(std::string_view("\x80\0\0\0\x80\0\0\0\0\0\0\0", 12)));
  EXPECT_FALSE(number(std::string_view("\x80\x01\0\0\0\0\0\0\0\0\0\0", 12)));
  EXPECT_EQ(*number(std::string_view("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12)), INT64_MIN);
  EXPECT_FALSE(number(std::string_view("\xff\xff\xff\xfe\x80\0\0\0\0\0\0\0", 12)));
}

TEST(TarHeader, RefusesNegativeSizes) {
  std::string block = TarBuilder::Block({.name = "name"});
  memset(block.data() + 124, 0xff, 12);
  TarBuilder::Seal(block);
  EXPECT_EQ(DecodeTarHeader(block).error().message(), "tar header: negative size");
}

TEST(TarHeader, ZeroBlock) {
  EXPECT_TRUE(IsZeroBlock(std::string(512, '\0')));
  EXPECT_FALSE(IsZeroBlock(std::string(511, '\0') + "x"));
}

}  // namespace
}  // namespace wherry::store
