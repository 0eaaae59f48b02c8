// Section [mqtt] of the configuration: the broker of the fleet, and who this device is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::engine {

struct BrokerAddress {
  bool tls = true;
  std::string host;  // empty: no broker
  uint16_t port = 0;

  // "mqtts://host[:8883]", "mqtt://host[:1883]"; the latter only to this machine itself.
  static Result<BrokerAddress> Parse(std::string_view text);
  std::string Text() const;
};

struct MqttConfig {
  BrokerAddress broker;
  std::string tenant = "default";
  std::string device;  // also the client's identifier
  std::vector<std::string> groups;
  std::string ca;  // empty: the system's
  std::string certificate;
  std::string key;
  std::string rollout_keys = "/etc/wherry/rollout-keys";  // *.pub: who may say what is wanted
  std::chrono::seconds report_period{10};
  std::chrono::seconds telemetry_period{0};  // 0: none is sent
};

// One level of a topic: 1 to 64 of a-z A-Z 0-9 - _ . kInvalid else.
Result<> CheckTopicLevel(std::string_view text);
// What belongs together is there.
Result<> CheckMqtt(const MqttConfig& config);

}  // namespace wherry::engine
