#include "net/mqtt/outgoing.h"

#include <gtest/gtest.h>

namespace wherry::mqtt {
namespace {

using std::chrono::seconds;

Publish Message(const std::string& payload) {
  Publish packet;
  packet.topic = "t";
  packet.payload = payload;
  packet.qos = 1;
  return packet;
}

TEST(MqttOutgoing, KeepsOrderAndWindow) {
  Outgoing outgoing({});
  for (const char* text : {"a", "b", "c"})
    ASSERT_TRUE(outgoing.Add(Message(text), seconds(0), nullptr));
  uint16_t id = 0;
  std::string sent;
  while (Outgoing::Item* item = outgoing.Next(2)) {
    item->in_flight = true;
    item->packet.id = ++id;
    sent += item->packet.payload;
  }
  EXPECT_EQ(sent, "ab");
  EXPECT_TRUE(outgoing.uses(2));
  EXPECT_FALSE(outgoing.Take(3));
  auto taken = outgoing.Take(2);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->packet.payload, "b");
  EXPECT_EQ(outgoing.Next(2)->packet.payload, "c");
  outgoing.ConnectionLost();
  EXPECT_EQ(outgoing.Next(2)->packet.payload, "a");
  EXPECT_EQ(outgoing.Next(2)->packet.id, 1);
}

TEST(MqttOutgoing, IsBounded) {
  Outgoing outgoing({.messages = 2, .bytes = 1000});
  EXPECT_TRUE(outgoing.Add(Message("a"), seconds(0), nullptr));
  auto large = outgoing.Add(Message(std::string(1000, 'x')), seconds(0), nullptr);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code(), Errc::kBusy);
  EXPECT_TRUE(outgoing.Add(Message("b"), seconds(0), nullptr));
  EXPECT_FALSE(outgoing.Add(Message("c"), seconds(0), nullptr));
  outgoing.Next(8)->in_flight = true;
  outgoing.Next(8)->in_flight = true;
  EXPECT_TRUE(outgoing.Take(0));
  EXPECT_TRUE(outgoing.Take(0));
  EXPECT_EQ(outgoing.bytes(), 0u);
  EXPECT_TRUE(outgoing.Add(Message("c"), seconds(0), nullptr));
}

TEST(MqttOutgoing, ExpiredOnesAreTakenUnlessTheyAreOnTheirWay) {
  Outgoing outgoing({});
  Publish packet = Message("a");
  packet.properties.Set(Property::kMessageExpiry, 10);
  ASSERT_TRUE(outgoing.Add(packet, seconds(100), nullptr));
  ASSERT_TRUE(outgoing.Add(packet, seconds(100), nullptr));
  ASSERT_TRUE(outgoing.Add(Message("b"), seconds(100), nullptr));
  EXPECT_FALSE(outgoing.TakeExpired(seconds(109)));
  outgoing.Next(8)->in_flight = true;
  EXPECT_TRUE(outgoing.TakeExpired(seconds(110)));
  EXPECT_FALSE(outgoing.TakeExpired(seconds(10'000)));
  EXPECT_EQ(outgoing.count(), 2u);
}

}  // namespace
}  // namespace wherry::mqtt
