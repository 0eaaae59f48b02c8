#include "net/link/address_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace wherry::net {
namespace {

Ipv4 Ip(const char* text) {
  return *ParseIpv4(text);
}

Subnet Net(const char* text) {
  return *ParseSubnet(text);
}

TEST(ChooseSubnet, TakesTheFirstFreePool) {
  EXPECT_EQ(ChooseSubnet({})->Text(), "172.17.0.0/16");
  Subnet used[] = {Net("172.17.0.0/16"), Net("172.18.44.0/24"), Net("10.0.0.0/8")};
  EXPECT_EQ(ChooseSubnet(used)->Text(), "172.19.0.0/16");
}

TEST(ChooseSubnet, GoesOnWithTheSmallPools) {
  Subnet lan[] = {Net("172.16.0.0/12"), Net("192.168.1.0/24")};
  EXPECT_EQ(ChooseSubnet(lan)->Text(), "192.168.16.0/20");
}

TEST(ChooseSubnet, GivesEachPoolOnce) {
  std::vector<Subnet> used;
  for (;;) {
    auto next = ChooseSubnet(used);
    if (!next) {
      EXPECT_EQ(next.error().code(), Errc::kNoSpace);
      break;
    }
    for (const Subnet& other : used)
      EXPECT_FALSE(next->Overlaps(other));
    used.push_back(*next);
    ASSERT_LE(used.size(), 31U);
  }
  EXPECT_EQ(used.size(), 31U);
  EXPECT_EQ(used[14].Text(), "172.31.0.0/16");
  EXPECT_EQ(used.back().Text(), "192.168.240.0/20");
}

TEST(AddressPool, GivesTheGatewayFirstThenContainers) {
  auto pool = AddressPool::Create(Net("172.17.0.0/16"));
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->gateway().Text(), "172.17.0.1");
  EXPECT_EQ(pool->Allocate()->Text(), "172.17.0.2");
  EXPECT_EQ(pool->Allocate()->Text(), "172.17.0.3");
  EXPECT_EQ(pool->used(), 2U);
}

TEST(AddressPool, DoesNotReuseAtOnce) {
  auto pool = AddressPool::Create(Net("10.0.0.0/29"));
  Ipv4 first = *pool->Allocate();
  pool->Release(first);
  EXPECT_EQ(pool->Allocate()->Text(), "10.0.0.3");
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(pool->Allocate());
  EXPECT_EQ(*pool->Allocate(), first) << "the last that is free";
  auto none = pool->Allocate();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Errc::kNoSpace);
  pool->Release(Ip("10.0.0.4"));
  EXPECT_EQ(pool->Allocate()->Text(), "10.0.0.4");
}

TEST(AddressPool, SkipsTheGatewayWhereverItIs) {
  auto pool = AddressPool::Create(Net("10.0.0.0/29"), Ip("10.0.0.4"));
  std::set<Ipv4> given;
  while (auto address = pool->Allocate())
    given.insert(*address);
  EXPECT_EQ(given, (std::set<Ipv4>{Ip("10.0.0.1"), Ip("10.0.0.2"), Ip("10.0.0.3"), Ip("10.0.0.5"),
                                   Ip("10.0.0.6")}));
}

TEST(AddressPool, StaysInsideTheRange) {
  auto pool = AddressPool::Create(Net("10.0.0.0/24"), {}, Net("10.0.0.128/30"));
  EXPECT_EQ(pool->gateway().Text(), "10.0.0.1");
  EXPECT_EQ(pool->Allocate()->Text(), "10.0.0.128");
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(pool->Allocate());
  EXPECT_FALSE(pool->Allocate());
  EXPECT_TRUE(pool->Reserve(Ip("10.0.0.7"))) << "by name also outside of the range";
}

TEST(AddressPool, RangeAtTheEdgesLeavesNetworkAndBroadcastOut) {
  auto pool = AddressPool::Create(Net("10.0.0.0/29"), {}, Net("10.0.0.0/29"));
  size_t count = 0;
  while (auto address = pool->Allocate()) {
    EXPECT_NE(*address, Ip("10.0.0.0"));
    EXPECT_NE(*address, Ip("10.0.0.7"));
    ++count;
  }
  EXPECT_EQ(count, 5U);
}

TEST(AddressPool, ReservesGivenAddresses) {
  auto pool = AddressPool::Create(Net("172.17.0.0/16"));
  EXPECT_TRUE(pool->Reserve(Ip("172.17.0.2")));
  EXPECT_EQ(pool->Allocate()->Text(), "172.17.0.3");
  EXPECT_EQ(pool->Reserve(Ip("172.17.0.3")).error().code(), Errc::kConflict);
  for (const char* text : {"172.18.0.2", "172.17.0.0", "172.17.255.255", "172.17.0.1"})
    EXPECT_EQ(pool->Reserve(Ip(text)).error().code(), Errc::kInvalid) << text;
  pool->Release(Ip("172.17.0.2"));
  pool->Release(Ip("172.17.0.99"));
  EXPECT_TRUE(pool->Reserve(Ip("172.17.0.2")));
  EXPECT_EQ(pool->used(), 2U);
}

TEST(AddressPool, ServesTheSmallestAndTheLargest) {
  auto small = AddressPool::Create(Net("10.0.0.0/30"));
  EXPECT_EQ(small->Allocate()->Text(), "10.0.0.2");
  EXPECT_FALSE(small->Allocate());
  auto large = AddressPool::Create(Net("0.0.0.0/0"));
  ASSERT_TRUE(large);
  EXPECT_EQ(large->Allocate()->Text(), "0.0.0.2");
}

TEST(AddressPool, RefusesWhatIsOutside) {
  EXPECT_EQ(AddressPool::Create(Net("10.0.0.0/31")).error().code(), Errc::kInvalid);
  EXPECT_EQ(AddressPool::Create(Net("10.0.0.0/24"), Ip("10.0.1.1")).error().code(), Errc::kInvalid);
  EXPECT_EQ(AddressPool::Create(Net("10.0.0.0/24"), Ip("10.0.0.255")).error().code(),
            Errc::kInvalid);
  EXPECT_EQ(AddressPool::Create(Net("10.0.0.0/24"), {}, Net("10.0.1.0/25")).error().code(),
            Errc::kInvalid);
  EXPECT_EQ(AddressPool::Create(Net("10.0.0.0/24"), {}, Net("10.0.0.0/16")).error().code(),
            Errc::kInvalid);
}

}  // namespace
}  // namespace wherry::net
