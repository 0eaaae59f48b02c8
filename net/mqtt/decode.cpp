#include <algorithm>
#include <span>

#include "core/base/text.h"
#include "net/mqtt/packet.h"

namespace wherry::mqtt {

namespace {

constexpr uint8_t kConnectReasons[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
                                       0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
                                       0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f};  // 3.2.2.2
constexpr uint8_t kPubackReasons[] = {0x00, 0x10, 0x80, 0x83, 0x87,
                                      0x90, 0x91, 0x97, 0x99};  // 3.4.2.1
constexpr uint8_t kSubackReasons[] = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87,
                                      0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2};          // 3.9.3
constexpr uint8_t kSubackReasons311[] = {0x00, 0x01, 0x02, 0x80};                   // 3.1.1, 3.9.3
constexpr uint8_t kUnsubackReasons[] = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91};  // 3.11.3
constexpr uint8_t kDisconnectReasons[] = {
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2};  // 3.14.2.1
// 3.1.1 section 3.2.2.3, in the reason codes of 5.0.
constexpr uint8_t kReturnCodes[] = {0x00, 0x84, 0x85, 0x88, 0x86, 0x87};

Result<uint8_t> Reason(WireReader& in, std::span<const uint8_t> known) {
  uint8_t reason = TRY(in.U8());
  if (std::find(known.begin(), known.end(), reason) == known.end())
    return Malformed(Cat("an unknown reason code ", reason));
  return reason;
}

Result<uint16_t> PacketId(WireReader& in) {
  uint16_t id = TRY(in.U16());
  if (id == 0)
    return ProtocolError("a packet identifier 0");  // 2.2.1-3
  return id;
}

Result<> Complete(const WireReader& in) {
  if (!in.empty())
    return Malformed("it is longer than what is in it");
  return {};
}

Result<Received> ReadReturnCode(uint8_t flags, WireReader& in) {
  uint8_t code = TRY(in.U8());
  if (code >= std::size(kReturnCodes))
    return Malformed(Cat("an unknown return code ", code));
  TRY(Complete(in));
  return Connack{(flags & 1) != 0, kReturnCodes[code], {}};
}

Result<Received> ReadConnack(Version version, WireReader in, size_t size) {
  uint8_t flags = TRY(in.U8());
  if ((flags & 0xfe) != 0)
    return Malformed("reserved flags of CONNACK");  // 3.2.2-1
  // A server that knows 3.1.1 only refuses in that form.
  if (version == Version::k311 || size == 2)
    return ReadReturnCode(flags, in);
  Connack packet;
  packet.session_present = flags != 0;
  packet.reason = TRY(Reason(in, kConnectReasons));
  if (packet.reason != 0 && packet.session_present)
    return ProtocolError("a session in a refusal");  // 3.2.2-6
  packet.properties = TRY(Properties::Read(PacketType::kConnack, in));
  TRY(Complete(in));
  return packet;
}

Result<Received> ReadPublish(Version version, uint8_t flags, WireReader in) {
  Publish packet;
  packet.dup = (flags & 0x08) != 0;
  packet.qos = (flags >> 1) & 3;
  packet.retain = (flags & 0x01) != 0;
  if (packet.qos == 3)
    return Malformed("QoS 3");  // 3.3.1-4
  if (packet.qos == 2)
    return ProtocolError("QoS 2, which was not asked for");  // 3.8.4-8
  if (packet.qos == 0 && packet.dup)
    return Malformed("QoS 0 sent again");  // 3.3.1-2
  std::string_view topic = TRY(in.Text());
  if (packet.qos > 0)
    packet.id = TRY(PacketId(in));
  if (version == Version::k5)
    packet.properties = TRY(Properties::Read(PacketType::kPublish, in));
  if (packet.properties.has(Property::kTopicAlias))
    return ProtocolError("a topic alias, of which none is allowed");  // 3.3.2-9
  if (!IsTopicName(topic))
    return ProtocolError("a topic that is none");  // 3.3.2-1, 3.3.2-2, 4.7.3-1
  packet.topic = topic;
  packet.payload = in.Rest();
  return packet;
}

Result<Received> ReadPuback(Version version, WireReader in) {
  Puback packet;
  packet.id = TRY(PacketId(in));
  if (version == Version::k5 && !in.empty()) {
    packet.reason = TRY(Reason(in, kPubackReasons));
    if (!in.empty())
      packet.properties = TRY(Properties::Read(PacketType::kPuback, in));
  }
  TRY(Complete(in));
  return packet;
}

Result<Received> ReadSuback(Version version, bool unsubscribe, WireReader in) {
  Suback packet;
  packet.unsubscribe = unsubscribe;
  packet.id = TRY(PacketId(in));
  std::span<const uint8_t> known = kSubackReasons311;
  if (version == Version::k5) {
    auto type = unsubscribe ? PacketType::kUnsuback : PacketType::kSuback;
    packet.properties = TRY(Properties::Read(type, in));
    known = kSubackReasons;
    if (unsubscribe)
      known = kUnsubackReasons;
  } else if (unsubscribe) {
    packet.reasons.push_back(0);  // 3.1.1 section 3.11: no payload
    TRY(Complete(in));
    return packet;
  }
  // One filter was asked for: 3.9.3, 3.11.3.
  uint8_t reason = TRY(Reason(in, known));
  packet.reasons.push_back(reason);
  TRY(Complete(in));
  return packet;
}

Result<Received> ReadDisconnect(Version version, WireReader in) {
  if (version == Version::k311)
    return ProtocolError("DISCONNECT from a server");  // 3.1.1 section 3.14
  Disconnect packet;
  if (!in.empty())
    packet.reason = TRY(Reason(in, kDisconnectReasons));
  if (!in.empty())
    packet.properties = TRY(Properties::Read(PacketType::kDisconnect, in));
  if (packet.properties.has(Property::kSessionExpiry))
    return ProtocolError("a session expiry from a server");  // 3.14.2-2
  TRY(Complete(in));
  return packet;
}

}  // namespace

Result<Received> Decode(Version version, uint8_t first, std::string_view body) {
  auto type = static_cast<PacketType>(first >> 4);
  uint8_t flags = first & 0x0f;
  if (type != PacketType::kPublish && flags != 0)
    return Malformed("reserved flags");  // 2.1.3-1
  WireReader in(body);
  switch (type) {
    case PacketType::kConnack:
      return ReadConnack(version, in, body.size());
    case PacketType::kPublish:
      return ReadPublish(version, flags, in);
    case PacketType::kPuback:
      return ReadPuback(version, in);
    case PacketType::kSuback:
    case PacketType::kUnsuback:
      return ReadSuback(version, type == PacketType::kUnsuback, in);
    case PacketType::kPingresp:
      TRY(Complete(in));
      return Pingresp{};
    case PacketType::kDisconnect:
      return ReadDisconnect(version, in);
    case PacketType::kAuth:
      return ProtocolError("AUTH, though no authentication was begun");  // 3.15.1, 4.12
    default:
      return ProtocolError(Cat("a packet of type ", first >> 4));
  }
}

}  // namespace wherry::mqtt
