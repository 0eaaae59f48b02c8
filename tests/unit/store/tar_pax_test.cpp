#include "store/tar_pax.h"

#include <gtest/gtest.h>

#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string Record(const std::string& key, const std::string& value) {
  return TarBuilder::PaxRecord(key, value);
}

TEST(Pax, ReadsWhatItKnows) {
  PaxRecords pax;
  std::string body =
      Record("path", "a\nb") + Record("linkpath", "t") + Record("size", "8589934592") +
      Record("uid", "70000") + Record("gid", "70001") + Record("mtime", "1700000000.123456789") +
      Record("comment", "x=y") + Record("SCHILY.xattr.user.k", std::string("v\0=\n", 4));
  auto parsed = ParsePax(body, pax);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(pax.path, "a\nb");
  EXPECT_EQ(pax.link_path, "t");
  EXPECT_EQ(pax.size, 8589934592u);
  EXPECT_EQ(pax.uid, 70000);
  EXPECT_EQ(pax.gid, 70001);
  EXPECT_EQ(pax.mtime->seconds, 1700000000);
  EXPECT_EQ(pax.mtime->nanos, 123456789u);
  ASSERT_EQ(pax.xattrs.size(), 1u);
  EXPECT_EQ(pax.xattrs[0].name, "user.k");
  EXPECT_EQ(pax.xattrs[0].value, std::string("v\0=\n", 4));
  EXPECT_FALSE(pax.sparse());
}

TEST(Pax, LaterWinsAndEmptyTakesBack) {
  PaxRecords pax;
  ASSERT_TRUE(ParsePax(Record("path", "a") + Record("path", "b") + Record("uid", "5") +
                           Record("uid", "") + Record("SCHILY.xattr.user.k", "1") +
                           Record("SCHILY.xattr.user.k", "2"),
                       pax));
  EXPECT_EQ(pax.path, "b");
  EXPECT_FALSE(pax.uid);
  ASSERT_EQ(pax.xattrs.size(), 1u);
  EXPECT_EQ(pax.xattrs[0].value, "2");
}

TEST(Pax, RefusesMalformedRecords) {
  for (std::string_view body : {"", "6 a=b\n"}) {
    PaxRecords pax;
    EXPECT_TRUE(ParsePax(body, pax)) << body;
  }
  for (const std::string& body :
       {std::string("x"),
        std::string("5 a=b\n"),
        std::string("7 a=b\n"),
        std::string("6 a=bx"),
        std::string("6  =b\n").replace(2, 1, ""),
        std::string("99999999999999999999 a=b\n"),
        std::string("-6 a=b\n"),
        std::string("5 abc\n").replace(0, 1, "6"),
        std::string("3 \n"),
        std::string("5 =b\n"),
        Record("size", "-1"),
        Record("size", "1e3"),
        Record("uid", "x"),
        Record("mtime", "1.2.3"),
        Record("mtime", "."),
        Record("path", std::string("a\0b", 3)),
        Record("GNU.sparse.numbytes", "1"),
        Record("GNU.sparse.offset", "1"),
        Record("GNU.sparse.offset", "1") + Record("GNU.sparse.offset", "1"),
        Record("GNU.sparse.map", "1,2,3"),
        Record("GNU.sparse.map", "1,x")}) {
    PaxRecords pax;
    auto parsed = ParsePax(body, pax);
    EXPECT_FALSE(parsed) << body;
    if (!parsed) {
      EXPECT_EQ(parsed.error().code(), Errc::kInvalid) << body;
    }
  }
}

TEST(Pax, Times) {
  struct Case {
    const char* text;
    int64_t seconds;
    uint32_t nanos;
  };
  for (Case c : {Case{"0", 0, 0}, Case{"12.5", 12, 500000000}, Case{"-1.25", -2, 750000000},
                 Case{"-0.5", -1, 500000000}, Case{"-3", -3, 0}, Case{"1.0000000009", 1, 0},
                 Case{"7.", 7, 0}}) {
    auto time = ParsePaxTime(c.text);
    ASSERT_TRUE(time) << c.text;
    EXPECT_EQ(time->seconds, c.seconds) << c.text;
    EXPECT_EQ(time->nanos, c.nanos) << c.text;
  }
}

TEST(Pax, SparseMaps) {
  PaxRecords zero;
  ASSERT_TRUE(ParsePax(Record("GNU.sparse.size", "100") + Record("GNU.sparse.numblocks", "2") +
                           Record("GNU.sparse.offset", "10") + Record("GNU.sparse.numbytes", "5") +
                           Record("GNU.sparse.offset", "50") + Record("GNU.sparse.numbytes", "1"),
                       zero));
  EXPECT_TRUE(zero.sparse());
  ASSERT_EQ(zero.sparse_extents.size(), 2u);
  EXPECT_EQ(zero.sparse_extents[1].offset, 50u);
  PaxRecords one;
  ASSERT_TRUE(ParsePax(Record("GNU.sparse.map", "10,5,50,1"), one));
  ASSERT_EQ(one.sparse_extents.size(), 2u);
  EXPECT_EQ(one.sparse_extents[1].size, 1u);
}

}  // namespace
}  // namespace wherry::store
