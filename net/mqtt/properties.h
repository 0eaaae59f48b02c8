// Properties of MQTT 5.0 packets (section 2.2.2).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/mqtt/wire.h"

namespace wherry::mqtt {

enum class PacketType : uint8_t {  // 2.1.2
  kWill = 0,  // not a packet: the will's part of CONNECT, with properties of its own
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kSubscribe = 8,
  kSuback = 9,
  kUnsubscribe = 10,
  kUnsuback = 11,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
  kAuth = 15,
};

enum class Property : uint8_t {  // 2.2.2.2
  kPayloadFormat = 0x01,
  kMessageExpiry = 0x02,  // seconds
  kContentType = 0x03,
  kResponseTopic = 0x08,
  kCorrelationData = 0x09,
  kSubscriptionId = 0x0b,
  kSessionExpiry = 0x11,  // seconds
  kAssignedClientId = 0x12,
  kServerKeepAlive = 0x13,  // seconds
  kAuthMethod = 0x15,
  kAuthData = 0x16,
  kRequestProblemInfo = 0x17,
  kWillDelay = 0x18,  // seconds
  kRequestResponseInfo = 0x19,
  kResponseInfo = 0x1a,
  kServerReference = 0x1c,
  kReasonString = 0x1f,
  kReceiveMaximum = 0x21,
  kTopicAliasMaximum = 0x22,
  kTopicAlias = 0x23,
  kMaximumQos = 0x24,
  kRetainAvailable = 0x25,
  kUser = 0x26,
  kMaximumPacketSize = 0x27,
  kWildcardAvailable = 0x28,
  kSubscriptionIdAvailable = 0x29,
  kSharedAvailable = 0x2a,
};

struct UserProperty {
  std::string name;
  std::string value;
  bool operator==(const UserProperty&) const = default;
};

class Properties {
 public:
  std::optional<uint32_t> number(Property property) const;
  // Empty when absent; text is UTF-8, binary data any bytes.
  std::string_view text(Property property) const;
  bool has(Property property) const;
  const std::vector<UserProperty>& user() const { return user_; }
  // The value of the first of that name; empty when absent.
  std::string_view user(std::string_view name) const;

  // REQUIRES: a property of that kind, a value in its range, texts as WireWriter requires.
  void Set(Property property, uint32_t value) { numbers_[property] = value; }
  void Set(Property property, std::string_view value) { texts_[property] = value; }
  void AddUser(std::string name, std::string value);

  // With their length in front. Only those a packet of `type` may have.
  void Write(PacketType type, WireWriter& out) const;
  // Errors: Malformed for what is unknown or may not be in such a packet (2.2.2.2), ProtocolError
  // for duplicates and values that are not allowed.
  static Result<Properties> Read(PacketType type, WireReader& in);

  bool operator==(const Properties&) const = default;

 private:
  Result<> ReadOne(PacketType type, WireReader& in);

  std::map<Property, uint32_t> numbers_;
  std::map<Property, std::string> texts_;
  std::vector<UserProperty> user_;
};

}  // namespace wherry::mqtt
