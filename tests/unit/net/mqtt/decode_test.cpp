#include <gtest/gtest.h>

#include "core/base/text.h"
#include "net/mqtt/packet.h"

namespace wherry::mqtt {
namespace {

using namespace std::string_literals;

template <class T>
T Good(Version version, uint8_t first, const std::string& body) {
  auto packet = Decode(version, first, body);
  EXPECT_TRUE(packet) << packet.error().message();
  if (!packet || !std::holds_alternative<T>(*packet)) {
    ADD_FAILURE() << "another packet";
    return {};
  }
  return std::get<T>(std::move(*packet));
}

TEST(MqttDecode, Connack) {
  auto packet = Good<Connack>(Version::k5, 0x20,
                              "\x01\x00\x0f\x13\x00\x1e\x21\x00\x14\x24\x01\x25\x00\x27\x00\x00"
                              "\x10\x00"s);
  EXPECT_TRUE(packet.session_present);
  EXPECT_EQ(packet.reason, 0);
  EXPECT_EQ(packet.properties.number(Property::kServerKeepAlive), 30u);
  EXPECT_EQ(packet.properties.number(Property::kReceiveMaximum), 20u);
  EXPECT_EQ(packet.properties.number(Property::kRetainAvailable), 0u);
  EXPECT_EQ(packet.properties.number(Property::kMaximumPacketSize), 4096u);
}

TEST(MqttDecode, ReturnCodesOf311) {
  EXPECT_EQ(Good<Connack>(Version::k311, 0x20, "\x00\x00"s).reason, 0);
  EXPECT_TRUE(Good<Connack>(Version::k311, 0x20, "\x01\x00"s).session_present);
  EXPECT_EQ(Good<Connack>(Version::k311, 0x20, "\x00\x01"s).reason, 0x84);
  EXPECT_EQ(Good<Connack>(Version::k311, 0x20, "\x00\x04"s).reason, 0x86);
  EXPECT_EQ(Good<Connack>(Version::k311, 0x20, "\x00\x05"s).reason, 0x87);
  EXPECT_EQ(Good<Connack>(Version::k5, 0x20, "\x00\x01"s).reason, 0x84);
}

TEST(MqttDecode, Publish) {
  auto packet = Good<Publish>(Version::k5, 0x3b,
                              "\x00\x03"s
                              "a/b\x00\x07\x13\x08\x00\x01r\x09\x00\x02\x00\x01\x26\x00"s
                              "\x01k\x00\x02vw\x0b\x05payload"s);
  EXPECT_EQ(packet.topic, "a/b");
  EXPECT_EQ(packet.payload, "payload");
  EXPECT_EQ(packet.qos, 1);
  EXPECT_TRUE(packet.dup);
  EXPECT_TRUE(packet.retain);
  EXPECT_EQ(packet.id, 7);
  EXPECT_EQ(packet.properties.text(Property::kResponseTopic), "r");
  EXPECT_EQ(packet.properties.text(Property::kCorrelationData), "\0\1"s);
  EXPECT_EQ(packet.properties.user("k"), "vw");
  EXPECT_EQ(Good<Publish>(Version::k311, 0x30,
                          "\x00\x01"s
                          "a"s)
                .payload,
            "");
  EXPECT_EQ(Good<Publish>(Version::k311, 0x30,
                          "\x00\x01"s
                          "a\x00"s)
                .payload,
            "\0"s);
}

TEST(MqttDecode, Acknowledgements) {
  EXPECT_EQ(Good<Puback>(Version::k5, 0x40, "\x00\x05"s).reason, 0);
  EXPECT_EQ(Good<Puback>(Version::k5, 0x40, "\x00\x05\x97"s).reason, 0x97);
  auto puback = Good<Puback>(Version::k5, 0x40,
                             "\x00\x05\x87\x06\x1f\x00\x03"s
                             "why"s);
  EXPECT_EQ(puback.properties.text(Property::kReasonString), "why");
  EXPECT_EQ(Good<Suback>(Version::k5, 0x90, "\x00\x01\x00\x01"s).reasons.at(0), 1);
  EXPECT_EQ(Good<Suback>(Version::k311, 0x90, "\x00\x01\x80"s).reasons.at(0), 0x80);
  EXPECT_TRUE(Good<Suback>(Version::k5, 0xb0, "\x00\x01\x00\x11"s).unsubscribe);
  EXPECT_TRUE(Good<Suback>(Version::k311, 0xb0, "\x00\x01"s).unsubscribe);
  Good<Pingresp>(Version::k5, 0xd0, "");
  EXPECT_EQ(Good<Disconnect>(Version::k5, 0xe0, "").reason, 0);
  EXPECT_EQ(Good<Disconnect>(Version::k5, 0xe0, "\x8b"s).reason, 0x8b);
  EXPECT_EQ(Good<Disconnect>(Version::k5, 0xe0,
                             "\x9c\x04\x1c\x00\x01"s
                             "x"s)
                .properties.text(Property::kServerReference),
            "x");
}

struct Bad {
  Version version;
  uint8_t first;
  std::string body;
  uint8_t reason;
  const char* what;
};

class MqttBad : public testing::TestWithParam<Bad> {};

TEST_P(MqttBad, IsRefused) {
  const Bad& bad = GetParam();
  auto packet = Decode(bad.version, bad.first, bad.body);
  ASSERT_FALSE(packet) << bad.what;
  EXPECT_EQ(ReasonFor(packet.error()), bad.reason) << bad.what << ": " << packet.error().message();
}

constexpr Version k5 = Version::k5;
constexpr Version k3 = Version::k311;

INSTANTIATE_TEST_SUITE_P(
    Packets, MqttBad,
    testing::Values(
        Bad{k5, 0x00, "", 0x82, "type 0"}, Bad{k5, 0x10, "", 0x82, "CONNECT"},
        Bad{k5, 0x50, "\x00\x01"s, 0x82, "PUBREC"}, Bad{k5, 0x62, "\x00\x01"s, 0x81, "PUBREL"},
        Bad{k5, 0x82, "", 0x81, "SUBSCRIBE"}, Bad{k5, 0xc0, "", 0x82, "PINGREQ"},
        Bad{k5, 0xf0, "", 0x82, "AUTH"}, Bad{k5, 0x21, "\x00\x00\x00"s, 0x81, "flags of CONNACK"},
        Bad{k5, 0x20, "", 0x81, "an empty CONNACK"}, Bad{k5, 0x20, "\x00"s, 0x81, "a short one"},
        Bad{k5, 0x20, "\x02\x00\x00"s, 0x81, "acknowledge flags"},
        Bad{k5, 0x20, "\x00\x01\x00"s, 0x81, "unknown reason"},
        Bad{k5, 0x20, "\x01\x87\x00"s, 0x82, "session in a refusal"},
        Bad{k5, 0x20, "\x00\x00\x00\x00"s, 0x81, "longer than it is"},
        Bad{k5, 0x20, "\x00\x00\x03\x21\x00\x00"s, 0x82, "receive maximum 0"},
        Bad{k5, 0x20, "\x00\x00\x05\x27\x00\x00\x00\x00"s, 0x82, "packet size 0"},
        Bad{k5, 0x20, "\x00\x00\x02\x24\x02"s, 0x82, "maximum QoS 2"},
        Bad{k5, 0x20, "\x00\x00\x04\x24\x01\x24\x01"s, 0x82, "a property twice"},
        Bad{k5, 0x20, "\x00\x00\x05\x18\x00\x00\x00\x01"s, 0x81, "a will's property"},
        Bad{k5, 0x20, "\x00\x00\x02\x7f\x00"s, 0x81, "an unknown property"},
        Bad{k5, 0x20, "\x00\x00\x05\x1f\x00\x02\xc0\x80"s, 0x81, "bad UTF-8"},
        Bad{k5, 0x20, "\x00\x00\x09\x21\x00\x01"s, 0x81, "properties too short"},
        Bad{k3, 0x20, "\x00\x06"s, 0x81, "return code 6"},
        Bad{k3, 0x20, "\x00\x00\x00"s, 0x81, "CONNACK of three bytes"},
        Bad{k5, 0x36,
            "\x00\x01"s
            "a\x00\x01\x00"s,
            0x81, "QoS 3"},
        Bad{k5, 0x34,
            "\x00\x01"s
            "a\x00\x01\x00"s,
            0x82, "QoS 2"},
        Bad{k5, 0x38,
            "\x00\x01"s
            "a\x00"s,
            0x81, "QoS 0 again"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "+\x00"s,
            0x82, "a wildcard"},
        Bad{k5, 0x30,
            "\x00\x03"s
            "a/#\x00"s,
            0x82, "a wildcard"},
        Bad{k5, 0x30, "\x00\x00\x00"s, 0x82, "no topic"},
        Bad{k3, 0x30, "\x00\x00"s, 0x82, "no topic"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x03\x23\x00\x01"s,
            0x82, "a topic alias"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x03\x23\x00\x00"s,
            0x82, "a topic alias 0"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x02\x01\x02"s,
            0x82, "payload format 2"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x02\x0b\x00"s,
            0x82, "subscription identifier 0"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x05\x08\x00\x02"s
            "a#"s,
            0x82, "a response topic"},
        Bad{k5, 0x30, "\x00\x02\xed\xa0\x00"s, 0x81, "a surrogate"},
        Bad{k5, 0x30,
            "\x00\x02"s
            "a"s,
            0x81, "a topic too short"},
        Bad{k5, 0x32,
            "\x00\x01"s
            "a\x00\x00\x00"s,
            0x82, "packet identifier 0"},
        Bad{k5, 0x32,
            "\x00\x01"s
            "a\x00"s,
            0x81, "no packet identifier"},
        Bad{k5, 0x30,
            "\x00\x01"s
            "a\x80\x80\x80\x80\x01"s,
            0x81, "a length of five bytes"},
        Bad{k5, 0x40, "\x00"s, 0x81, "PUBACK"}, Bad{k5, 0x40, "\x00\x00"s, 0x82, "PUBACK of 0"},
        Bad{k5, 0x40, "\x00\x01\x01"s, 0x81, "reason 1"},
        Bad{k5, 0x40, "\x00\x01\x00\x00\x00"s, 0x81, "too long"},
        Bad{k3, 0x40, "\x00\x01\x00"s, 0x81, "a reason in 3.1.1"},
        Bad{k5, 0x90, "\x00\x01\x00"s, 0x81, "SUBACK without reasons"},
        Bad{k5, 0x90, "\x00\x01\x00\x00\x00"s, 0x81, "two reasons for one filter"},
        Bad{k5, 0x90, "\x00\x01\x00\x03"s, 0x81, "QoS 3 granted"},
        Bad{k3, 0x90, "\x00\x01\x87"s, 0x81, "a reason of 5.0"},
        Bad{k3, 0xb0, "\x00\x01\x00"s, 0x81, "a payload"}, Bad{k5, 0xd0, "\x00"s, 0x81, "PINGRESP"},
        Bad{k5, 0xe0, "\x04"s, 0x81, "with will"},
        Bad{k5, 0xe0, "\x00\x05\x11\x00\x00\x00\x01"s, 0x82, "session expiry"},
        Bad{k3, 0xe0, "", 0x82, "DISCONNECT in 3.1.1"}));

TEST(MqttDecode, ManyUserPropertiesAreBounded) {
  std::string many;
  for (int i = 0; i < 33; ++i)
    many += "\x26\x00\x01k\x00\x01v"s;
  std::string body =
      "\x00\x01"s
      "a"s;
  WireWriter length;
  length.Varint(static_cast<uint32_t>(many.size()));
  EXPECT_FALSE(Decode(Version::k5, 0x30, body + length.bytes() + many));
}

TEST(MqttDecode, WhatIsEncodedIsUnderstood) {
  Publish packet;
  packet.topic = "a/\xc3\xa9";
  packet.payload = std::string(300, 'x');
  packet.qos = 1;
  packet.id = 65'535;
  packet.properties.Set(Property::kContentType, "text/plain");
  packet.properties.Set(Property::kMessageExpiry, 4'000'000'000);
  packet.properties.AddUser("a", "1");
  packet.properties.AddUser("a", "2");
  std::string bytes = Encode(Version::k5, packet);
  auto read = Good<Publish>(Version::k5, static_cast<uint8_t>(bytes[0]), bytes.substr(3));
  EXPECT_EQ(read.topic, packet.topic);
  EXPECT_EQ(read.payload, packet.payload);
  EXPECT_EQ(read.id, packet.id);
  EXPECT_EQ(read.properties, packet.properties);
}

}  // namespace
}  // namespace wherry::mqtt
