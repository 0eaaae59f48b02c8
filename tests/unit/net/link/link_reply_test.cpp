#include "net/link/link_reply.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <random>

namespace wherry::net {
namespace {

using sys::BytesOf;
using sys::NetlinkMessage;
using sys::NetlinkWriter;

NetlinkMessage First(const NetlinkWriter& writer) {
  std::span<const uint8_t> rest = writer.bytes();
  return *sys::TakeMessage(rest);
}

NetlinkWriter LinkMessage() {
  ifinfomsg header{};
  header.ifi_index = 7;
  header.ifi_flags = IFF_UP;
  NetlinkWriter writer;
  writer.Start(RTM_NEWLINK, 0, BytesOf(header));
  writer.Text(IFLA_IFNAME, "w0");
  writer.Value(IFLA_MTU, uint32_t{1400});
  writer.Value(IFLA_MASTER, uint32_t{3});
  writer.Value(IFLA_ADDRESS, Mac{2, 0, 0, 0, 0, 9});
  auto info = writer.Open(IFLA_LINKINFO);
  writer.Text(IFLA_INFO_KIND, "bridge");
  return writer;
}

NetlinkWriter RouteMessage(uint8_t prefix) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = prefix;
  header.rtm_table = RT_TABLE_MAIN;
  NetlinkWriter writer;
  writer.Start(RTM_NEWROUTE, 0, BytesOf(header));
  writer.Be32(RTA_DST, 0xac110000);
  writer.Be32(RTA_GATEWAY, 0x0a000001);
  writer.Value(RTA_OIF, uint32_t{4});
  return writer;
}

TEST(LinkReply, ReadsALink) {
  NetlinkWriter writer = LinkMessage();
  auto link = ParseLink(First(writer));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->index, 7);
  EXPECT_EQ(link->name, "w0");
  EXPECT_EQ(link->kind, "bridge");
  EXPECT_EQ(link->mtu, 1400U);
  EXPECT_EQ(link->master, 3);
  EXPECT_EQ(MacText(link->mac), "02:00:00:00:00:09");
  EXPECT_TRUE(link->up);
}

TEST(LinkReply, ReadsARoute) {
  NetlinkWriter writer = RouteMessage(16);
  auto route = ParseRoute(First(writer));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.Text(), "172.17.0.0/16");
  EXPECT_EQ(route->gateway.Text(), "10.0.0.1");
  EXPECT_EQ(route->link, 4);
  EXPECT_EQ(route->table, uint32_t{RT_TABLE_MAIN});
}

TEST(LinkReply, ReadsAnAddress) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = 16;
  header.ifa_index = 5;
  NetlinkWriter writer;
  writer.Start(RTM_NEWADDR, 0, BytesOf(header));
  EXPECT_FALSE(ParseAddress(First(writer))) << "without an address";
  writer.Be32(IFA_LOCAL, 0xac110001);
  auto address = ParseAddress(First(writer));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->address.Text(), "172.17.0.1");
  EXPECT_EQ(address->prefix, 16);
  EXPECT_EQ(address->link, 5);
}

TEST(LinkReply, RefusesAbsurdValues) {
  NetlinkWriter absurd = RouteMessage(33);
  EXPECT_FALSE(ParseRoute(First(absurd)));
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 16;
  NetlinkWriter without;
  without.Start(RTM_NEWROUTE, 0, BytesOf(header));
  EXPECT_FALSE(ParseRoute(First(without))) << "a prefix of nothing";
  ifinfomsg zero{};
  NetlinkWriter link;
  link.Start(RTM_NEWLINK, 0, BytesOf(zero));
  EXPECT_FALSE(ParseLink(First(link)));
  NetlinkWriter other = LinkMessage();
  EXPECT_FALSE(ParseRoute(First(other)));
  EXPECT_FALSE(ParseAddress(First(other)));
}

TEST(LinkReply, AttributesOfAWrongSizeCountAsAbsent) {
  ifinfomsg header{};
  header.ifi_index = 1;
  NetlinkWriter writer;
  writer.Start(RTM_NEWLINK, 0, BytesOf(header));
  writer.Value(IFLA_MTU, uint8_t{9});
  writer.Value(IFLA_ADDRESS, uint64_t{9});
  writer.Bytes(IFLA_LINKINFO, BytesOf(uint8_t{0xff}));
  auto link = ParseLink(First(writer));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->mtu, 0U);
  EXPECT_EQ(link->mac, Mac{});
  EXPECT_EQ(link->kind, "");
}

TEST(LinkReply, CutAndMutatedMessagesEndWell) {
  NetlinkWriter link = LinkMessage();
  NetlinkWriter route = RouteMessage(16);
  std::minstd_rand random(1);
  for (const NetlinkWriter* writer : {&link, &route}) {
    NetlinkMessage whole = First(*writer);
    for (size_t size = 0; size <= whole.body.size(); ++size) {
      // A copy of exactly that size, so that a sanitizer sees a read beyond it.
      std::vector<uint8_t> body(whole.body.begin(),
                                whole.body.begin() + static_cast<ptrdiff_t>(size));
      for (int round = 0; round < 50; ++round) {
        NetlinkMessage cut = whole;
        cut.body = body;
        (void)ParseLink(cut);
        (void)ParseRoute(cut);
        cut.type = RTM_NEWADDR;
        (void)ParseAddress(cut);
        if (!body.empty())
          body[random() % body.size()] = static_cast<uint8_t>(random());
      }
    }
  }
}

}  // namespace
}  // namespace wherry::net
