// Packets of MQTT 5.0 and 3.1.1 as a client sends and receives them. Pure: no sockets, no time.
// QoS 2 and AUTH are not supported.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/result.h"
#include "net/mqtt/properties.h"

namespace wherry::mqtt {

enum class Version : uint8_t { k311 = 4, k5 = 5 };  // 3.1.2.2

struct Will {
  std::string topic;
  std::string payload;
  uint8_t qos = 1;
  bool retain = false;
  Properties properties;
};

struct Connect {  // 3.1
  bool clean_start = false;
  uint16_t keep_alive = 0;  // seconds; 0: none
  std::string client_id;
  std::optional<std::string> user;
  std::optional<std::string> password;
  std::optional<Will> will;
  Properties properties;
};

struct Connack {  // 3.2
  bool session_present = false;
  uint8_t reason = 0;  // of 5.0; those of 3.1.1 are translated
  Properties properties;
};

struct Publish {  // 3.3
  std::string topic;
  std::string payload;
  uint8_t qos = 0;
  bool retain = false;
  bool dup = false;
  uint16_t id = 0;  // not with QoS 0
  Properties properties;
};

struct Puback {  // 3.4
  uint16_t id = 0;
  uint8_t reason = 0;
  Properties properties;
};

struct Subscribe {  // 3.8, one filter
  uint16_t id = 0;
  std::string filter;
  uint8_t qos = 1;
};

struct Suback {  // 3.9 and, with `unsubscribe`, 3.11
  bool unsubscribe = false;
  uint16_t id = 0;
  std::vector<uint8_t> reasons;
  Properties properties;
};

struct Unsubscribe {  // 3.10, one filter
  uint16_t id = 0;
  std::string filter;
};

struct Pingresp {};  // 3.13

struct Disconnect {  // 3.14
  uint8_t reason = 0;
  Properties properties;
};

using Received = std::variant<Connack, Publish, Puback, Suback, Pingresp, Disconnect>;

// What a client sends. With 3.1.1 properties are left out. REQUIRES: topics, filters and texts as
// IsTopicName, IsTopicFilter and IsText want them, none longer than kMaxTextBytes.
std::string Encode(Version version, const Connect& packet);
std::string Encode(Version version, const Publish& packet);
std::string Encode(Version version, const Puback& packet);
std::string Encode(Version version, const Subscribe& packet);
std::string Encode(Version version, const Unsubscribe& packet);
std::string Encode(Version version, const Disconnect& packet);
std::string EncodePingreq();

// What a client receives: one packet, its first byte and what follows the remaining length. Errors
// as in wire.h. A refusal in the form of 3.1.1 of a CONNECT of 5.0 is understood.
Result<Received> Decode(Version version, uint8_t first, std::string_view body);

}  // namespace wherry::mqtt
