#include "net/mqtt/packet.h"

namespace wherry::mqtt {

namespace {

std::string Packet(PacketType type, uint8_t flags, const WireWriter& body) {
  WireWriter head;
  head.U8(static_cast<uint8_t>(static_cast<unsigned>(type) << 4 | flags));
  head.Varint(static_cast<uint32_t>(body.bytes().size()));
  return head.bytes() + body.bytes();
}

constexpr uint8_t kReservedFlags = 0x02;  // 2.1.3: SUBSCRIBE, UNSUBSCRIBE

uint8_t ConnectFlags(const Connect& packet) {  // 3.1.2.3
  unsigned flags = packet.clean_start ? 0x02 : 0;
  if (packet.will)
    flags |=
        0x04u | static_cast<unsigned>(packet.will->qos) << 3 | (packet.will->retain ? 0x20u : 0);
  flags |= (packet.password ? 0x40u : 0) | (packet.user ? 0x80u : 0);
  return static_cast<uint8_t>(flags);
}

}  // namespace

std::string Encode(Version version, const Connect& packet) {
  WireWriter out;
  out.Text("MQTT");
  out.U8(static_cast<uint8_t>(version));
  out.U8(ConnectFlags(packet));
  out.U16(packet.keep_alive);
  if (version == Version::k5)
    packet.properties.Write(PacketType::kConnect, out);
  out.Text(packet.client_id);
  if (packet.will) {
    if (version == Version::k5)
      packet.will->properties.Write(PacketType::kWill, out);
    out.Text(packet.will->topic);
    out.Text(packet.will->payload);
  }
  if (packet.user)
    out.Text(*packet.user);
  if (packet.password)
    out.Text(*packet.password);
  return Packet(PacketType::kConnect, 0, out);
}

std::string Encode(Version version, const Publish& packet) {
  WireWriter out;
  out.Text(packet.topic);
  if (packet.qos > 0)
    out.U16(packet.id);
  if (version == Version::k5)
    packet.properties.Write(PacketType::kPublish, out);
  out.Raw(packet.payload);
  auto flags =
      static_cast<uint8_t>((packet.dup ? 0x08 : 0) | packet.qos << 1 | (packet.retain ? 0x01 : 0));
  return Packet(PacketType::kPublish, flags, out);
}

std::string Encode(Version version, const Puback& packet) {
  WireWriter out;
  out.U16(packet.id);
  if (version == Version::k5 && packet.reason != 0)
    out.U8(packet.reason);
  return Packet(PacketType::kPuback, 0, out);
}

std::string Encode(Version version, const Subscribe& packet) {
  WireWriter out;
  out.U16(packet.id);
  if (version == Version::k5)
    Properties().Write(PacketType::kSubscribe, out);
  out.Text(packet.filter);
  out.U8(packet.qos);
  return Packet(PacketType::kSubscribe, kReservedFlags, out);
}

std::string Encode(Version version, const Unsubscribe& packet) {
  WireWriter out;
  out.U16(packet.id);
  if (version == Version::k5)
    Properties().Write(PacketType::kUnsubscribe, out);
  out.Text(packet.filter);
  return Packet(PacketType::kUnsubscribe, kReservedFlags, out);
}

std::string Encode(Version version, const Disconnect& packet) {
  WireWriter out;
  bool more = packet.reason != 0 || packet.properties != Properties();
  if (version == Version::k5 && more) {
    out.U8(packet.reason);
    packet.properties.Write(PacketType::kDisconnect, out);
  }
  return Packet(PacketType::kDisconnect, 0, out);
}

std::string EncodePingreq() {
  return Packet(PacketType::kPingreq, 0, WireWriter());
}

}  // namespace wherry::mqtt
