#include "core/base/user_db.h"

#include <gtest/gtest.h>

namespace wherry {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment\n"
    "\n"
    "broken\n"
    "empty-uid:x::100::/:/bin/sh\n"
    "hex:x:0x0:0::/:/bin/sh\n"
    "big:x:4294967296:0::/:/bin/sh\n"
    "over:x:2147483648:0::/:/bin/sh\n"
    "negative:x:-1:0::/:/bin/sh\n"
    "toomany:x:7:7:a:b:c:d\n"
    ":x:8:8::/:\n"
    "+::::::\n"
    "alice:x:1000:1000:Alice:/home/alice:/bin/bash\r\n"
    "bob:x:1001:1001:Bob::\n"
    "5:x:2000:2000::/five:\n"
    "short:x:77:78\n"
    "max:x:2147483647:2147483647::/max:/bin/sh\n"
    "alice2:x:1000:9::/second:/bin/sh";

constexpr std::string_view kGroup =
    "root:x:0:\n"
    "wheel:x:10:alice,bob\n"
    "audio:x:29:bob, alice\n"
    "bad:x:zz:alice\n"
    "users:x:1000:alice\n"
    "video:x:44:alice2,xalice,alice\n"
    "again:x:10:alice\n"
    "nomembers:x:60\n";

TEST(FindUser, ByNameAndNumber) {
  auto alice = FindUser(kPasswd, "alice");
  ASSERT_TRUE(alice);
  EXPECT_EQ(alice->uid, 1000u);
  EXPECT_EQ(alice->home, "/home/alice");
  EXPECT_EQ(alice->shell, "/bin/bash");
  EXPECT_EQ(FindUser(kPasswd, 1000u)->name, "alice");
  EXPECT_EQ(FindUser(kPasswd, 2147483647u)->home, "/max");
  EXPECT_EQ(FindUser(kPasswd, "short")->gid, 78u);
  EXPECT_EQ(FindUser(kPasswd, 0u)->name, "root");
}

TEST(FindUser, MalformedLinesAreNobody) {
  for (std::string_view name :
       {"broken", "empty-uid", "hex", "big", "over", "negative", "toomany", "", "+", "# comment"}) {
    EXPECT_FALSE(FindUser(kPasswd, name)) << name;
  }
  EXPECT_FALSE(FindUser("", "root"));
  EXPECT_FALSE(FindUser("\n\n\n", ""));
}

TEST(FindGroup, ByNameAndNumber) {
  EXPECT_EQ(FindGroup(kGroup, "wheel")->gid, 10u);
  EXPECT_EQ(FindGroup(kGroup, 44u)->name, "video");
  EXPECT_EQ(FindGroup(kGroup, "nomembers")->gid, 60u);
  EXPECT_FALSE(FindGroup(kGroup, "bad"));
}

TEST(ParseUserNumber, IsStrict) {
  EXPECT_EQ(**ParseUserNumber("0"), 0u);
  EXPECT_EQ(**ParseUserNumber("007"), 7u);
  EXPECT_EQ(**ParseUserNumber("2147483647"), 2147483647u);
  EXPECT_FALSE(*ParseUserNumber("alice"));
  EXPECT_FALSE(*ParseUserNumber("0x0"));
  EXPECT_FALSE(*ParseUserNumber("1a"));
  for (std::string_view bad :
       {"", "-1", "+1", " 1", "1 ", "1\n", "2147483648", "4294967296", "4294967295",
        "18446744073709551616", "99999999999999999999999999", "a:b", "a b", "a\x01", "a\x7f"}) {
    auto result = ParseUserNumber(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
  }
}

TEST(ResolveUser, NamesAndNumbers) {
  auto alice = ResolveUser("alice", kPasswd, kGroup);
  ASSERT_TRUE(alice);
  EXPECT_EQ(alice->uid, 1000u);
  EXPECT_EQ(alice->gid, 1000u);
  EXPECT_EQ(alice->home, "/home/alice");
  EXPECT_EQ(alice->name, "alice");
  EXPECT_EQ(alice->additional_gids, (std::vector<uint32_t>{1000, 10, 44}));
  auto number = ResolveUser("1000", kPasswd, kGroup);
  EXPECT_EQ(number->name, "alice");
  EXPECT_EQ(number->additional_gids, (std::vector<uint32_t>{1000, 10, 44}));
}

TEST(ResolveUser, EmptyIsRoot) {
  for (std::string_view spec : {"", ":", "root", "0"}) {
    auto root = ResolveUser(spec, kPasswd, kGroup);
    ASSERT_TRUE(root) << spec;
    EXPECT_EQ(root->uid, 0u);
    EXPECT_EQ(root->gid, 0u);
    EXPECT_EQ(root->home, "/root");
  }
  auto bare = ResolveUser("", "", "");
  EXPECT_EQ(bare->uid, 0u);
  EXPECT_EQ(bare->home, "/");
}

TEST(ResolveUser, NumberIsNeverAName) {
  // "5" is the name of uid 2000; the number 5 has no entry.
  auto five = ResolveUser("5", kPasswd, kGroup);
  ASSERT_TRUE(five);
  EXPECT_EQ(five->uid, 5u);
  EXPECT_EQ(five->gid, 0u);
  EXPECT_EQ(five->home, "/");
  EXPECT_EQ(five->name, "");
  EXPECT_EQ(five->additional_gids, (std::vector<uint32_t>{0}));
}

TEST(ResolveUser, ExplicitGroupDropsSupplementaryOnes) {
  auto named = ResolveUser("alice:audio", kPasswd, kGroup);
  EXPECT_EQ(named->uid, 1000u);
  EXPECT_EQ(named->gid, 29u);
  EXPECT_EQ(named->additional_gids, (std::vector<uint32_t>{29}));
  auto numbers = ResolveUser("12:34", kPasswd, kGroup);
  EXPECT_EQ(numbers->uid, 12u);
  EXPECT_EQ(numbers->gid, 34u);
  EXPECT_EQ(ResolveUser(":wheel", kPasswd, kGroup)->gid, 10u);
  EXPECT_EQ(ResolveUser("alice:", kPasswd, kGroup)->additional_gids.size(), 3u);
}

TEST(ResolveUser, EmptyHomeIsSlash) {
  EXPECT_EQ(ResolveUser("bob", kPasswd, kGroup)->home, "/");
}

TEST(ResolveUser, Errors) {
  auto missing = ResolveUser("carol", kPasswd, kGroup);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kNotFound);
  EXPECT_NE(missing.error().message().find("carol"), std::string::npos);
  EXPECT_EQ(ResolveUser("alice:nogroup", kPasswd, kGroup).error().code(), Errc::kNotFound);
  EXPECT_EQ(ResolveUser("empty-uid", kPasswd, kGroup).error().code(), Errc::kNotFound);
  for (std::string_view bad :
       {"-1", "4294967296", "2147483648", "1:2:3", "0:-1", "1:99999999999", " 0", "0 "}) {
    auto result = ResolveUser(bad, kPasswd, kGroup);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid) << bad;
  }
}

TEST(ResolveGroups, NamesAndNumbers) {
  EXPECT_EQ(*ResolveGroups({"audio", "7", "29", "video"}, kGroup),
            (std::vector<uint32_t>{29, 7, 44}));
  EXPECT_FALSE(ResolveGroups({"audio", "nope"}, kGroup));
  EXPECT_FALSE(ResolveGroups({"-1"}, kGroup));
}

}  // namespace
}  // namespace wherry
