#include "net/link/address.h"

#include <gtest/gtest.h>

namespace wherry::net {
namespace {

TEST(Ipv4, ParsesAndPrints) {
  for (const char* text : {"0.0.0.0", "10.0.0.1", "172.17.255.2", "255.255.255.255"}) {
    auto parsed = ParseIpv4(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->Text(), text);
  }
  EXPECT_EQ(ParseIpv4("127.1.2.3")->value, 0x7f010203U);
  EXPECT_TRUE(ParseIpv4("127.1.2.3")->IsLoopback());
  EXPECT_FALSE(ParseIpv4("128.0.0.1")->IsLoopback());
}

TEST(Ipv4, RefusesOtherText) {
  for (const char* text :
       {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4",
        "1..3.4", "a.b.c.d", "0x1.2.3.4", "::1", "99999999999999999999.1.1.1"}) {
    auto parsed = ParseIpv4(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Errc::kInvalid);
  }
}

TEST(Subnet, ParsesAndPrints) {
  EXPECT_EQ(ParseSubnet("172.17.0.0/16")->Text(), "172.17.0.0/16");
  EXPECT_EQ(ParseSubnet("172.17.3.4/16")->Text(), "172.17.0.0/16");
  EXPECT_EQ(ParseSubnet("10.1.2.3/32")->Text(), "10.1.2.3/32");
  EXPECT_EQ(ParseSubnet("10.1.2.3/0")->Text(), "0.0.0.0/0");
  for (const char* text : {"", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
                           "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8/8"}) {
    auto parsed = ParseSubnet(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Errc::kInvalid);
  }
}

TEST(Subnet, ContainsAndOverlaps) {
  Subnet subnet = *ParseSubnet("172.16.0.0/12");
  EXPECT_TRUE(subnet.Contains(*ParseIpv4("172.31.255.255")));
  EXPECT_FALSE(subnet.Contains(*ParseIpv4("172.32.0.0")));
  EXPECT_EQ(subnet.Last().Text(), "172.31.255.255");
  EXPECT_TRUE(subnet.Overlaps(*ParseSubnet("172.20.0.0/16")));
  EXPECT_TRUE(ParseSubnet("172.20.0.0/16")->Overlaps(subnet));
  EXPECT_TRUE(subnet.Overlaps(*ParseSubnet("0.0.0.0/0")));
  EXPECT_FALSE(subnet.Overlaps(*ParseSubnet("172.32.0.0/16")));
}

TEST(Mac, ParsesAndPrints) {
  auto mac = ParseMac("02:42:AC:11:00:02");
  ASSERT_TRUE(mac);
  EXPECT_EQ(MacText(*mac), "02:42:ac:11:00:02");
  for (const char* text :
       {"", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "02-42-ac-11-00-02", "02:42:ac:11:00:0",
        "02:42:ac:11:00:0g", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}) {
    auto parsed = ParseMac(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Errc::kInvalid);
  }
}

TEST(Mac, RandomOnesAreLocalAndDiffer) {
  Mac one = RandomMac();
  EXPECT_EQ(one[0] & 3, 2);
  EXPECT_NE(one, RandomMac());
  EXPECT_TRUE(ParseMac(MacText(one)));
}

}  // namespace
}  // namespace wherry::net
