#include <gtest/gtest.h>

#include "net/mqtt/packet.h"

namespace wherry::mqtt {
namespace {

using namespace std::string_literals;

TEST(MqttEncode, Connect) {
  Connect packet;
  packet.keep_alive = 60;
  packet.client_id = "dev";
  EXPECT_EQ(Encode(Version::k311, packet),
            "\x10\x0f\x00\x04MQTT\x04\x00\x00\x3c\x00\x03"s
            "dev"s);
  packet.properties.Set(Property::kSessionExpiry, 3600);
  packet.properties.Set(Property::kReceiveMaximum, 8);
  EXPECT_EQ(Encode(Version::k5, packet),
            "\x10\x18\x00\x04MQTT\x05\x00\x00\x3c\x08\x11\x00\x00\x0e\x10\x21\x00\x08\x00\x03"s
            "dev"s);
}

TEST(MqttEncode, ConnectWithAll) {
  Connect packet;
  packet.clean_start = true;
  packet.client_id = "d";
  packet.user = "u";
  packet.password = "p";
  packet.will = Will{"w", "{}", 1, true, {}};
  packet.will->properties.Set(Property::kWillDelay, 60);
  EXPECT_EQ(Encode(Version::k5, packet),
            "\x10\x21\x00\x04MQTT\x05\xee\x00\x00\x00\x00\x01"s
            "d\x05\x18\x00\x00\x00\x3c\x00\x01w"s
            "\x00\x02{}\x00\x01u\x00\x01p"s);
  EXPECT_EQ(Encode(Version::k311, packet),
            "\x10\x1a\x00\x04MQTT\x04\xee\x00\x00\x00\x01"s
            "d\x00\x01w\x00\x02{}\x00\x01u\x00\x01p"s);
}

TEST(MqttEncode, Publish) {
  Publish packet;
  packet.topic = "a/b";
  packet.payload = "hi";
  EXPECT_EQ(Encode(Version::k311, packet),
            "\x30\x07\x00\x03"s
            "a/bhi"s);
  EXPECT_EQ(Encode(Version::k5, packet),
            "\x30\x08\x00\x03"s
            "a/b\x00hi"s);
  packet.qos = 1;
  packet.dup = true;
  packet.retain = true;
  packet.id = 258;
  packet.properties.Set(Property::kMessageExpiry, 5);
  packet.properties.Set(Property::kCorrelationData, "\0\1"s);
  packet.properties.AddUser("k", "v");
  EXPECT_EQ(Encode(Version::k5, packet),
            "\x3b\x1b\x00\x03"s
            "a/b\x01\x02\x11\x02\x00\x00\x00\x05\x09\x00\x02\x00\x01\x26\x00\x01k"s
            "\x00\x01vhi"s);
}

TEST(MqttEncode, TheRest) {
  EXPECT_EQ(Encode(Version::k5, Puback{7, 0, {}}), "\x40\x02\x00\x07"s);
  EXPECT_EQ(Encode(Version::k5, Puback{7, 0x80, {}}), "\x40\x03\x00\x07\x80"s);
  EXPECT_EQ(Encode(Version::k5, Subscribe{1, "#", 1}), "\x82\x07\x00\x01\x00\x00\x01#\x01"s);
  EXPECT_EQ(Encode(Version::k311, Subscribe{1, "#", 0}), "\x82\x06\x00\x01\x00\x01#\x00"s);
  EXPECT_EQ(Encode(Version::k5, Unsubscribe{1, "#"}), "\xa2\x06\x00\x01\x00\x00\x01#"s);
  EXPECT_EQ(EncodePingreq(), "\xc0\x00"s);
  EXPECT_EQ(Encode(Version::k5, Disconnect{}), "\xe0\x00"s);
  EXPECT_EQ(Encode(Version::k5, Disconnect{0x81, {}}), "\xe0\x02\x81\x00"s);
  EXPECT_EQ(Encode(Version::k311, Disconnect{0x81, {}}), "\xe0\x00"s);
}

TEST(MqttEncode, PropertiesOfOtherPacketsStayOut) {
  Publish packet;
  packet.topic = "a";
  packet.properties.Set(Property::kSessionExpiry, 1);
  EXPECT_EQ(Encode(Version::k5, packet),
            "\x30\x04\x00\x01"s
            "a\x00"s);
}

}  // namespace
}  // namespace wherry::mqtt
