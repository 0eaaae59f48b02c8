#include "engine/mqtt_config.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxLevel = 64;
constexpr uint64_t kMaxPort = 65535;
constexpr uint16_t kTlsPort = 8883;
constexpr uint16_t kPlainPort = 1883;

}  // namespace

Result<BrokerAddress> BrokerAddress::Parse(std::string_view text) {
  BrokerAddress address;
  constexpr std::string_view kTls = "mqtts://";
  constexpr std::string_view kPlain = "mqtt://";
  address.tls = text.starts_with(kTls);
  if (!address.tls && !text.starts_with(kPlain))
    return Fail(Errc::kInvalid, "must be mqtts://HOST[:PORT]");
  text.remove_prefix(address.tls ? kTls.size() : kPlain.size());
  address.port = address.tls ? kTlsPort : kPlainPort;
  if (auto split = SplitLast(text, ':')) {
    Result<uint64_t> port = ParseUint(split->tail);
    if (!port || *port == 0 || *port > kMaxPort)
      return Fail(Errc::kInvalid, "must end with a port from 1 to 65535, or without one");
    address.port = static_cast<uint16_t>(*port);
    text = split->head;
  }
  if (text.empty() || text.find_first_of(":/@ ") != std::string_view::npos)
    return Fail(Errc::kInvalid, "must name a host: mqtts://HOST[:PORT]");
  if (!address.tls && text != "127.0.0.1" && text != "localhost")
    return Fail(Errc::kInvalid, "mqtt:// is not encrypted and only for 127.0.0.1: use mqtts://");
  address.host = text;
  return address;
}

std::string BrokerAddress::Text() const {
  return host.empty() ? "" : Cat(tls ? "mqtts://" : "mqtt://", host, ":", port);
}

Result<> CheckTopicLevel(std::string_view text) {
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (text.empty() || text.size() > kMaxLevel || !std::ranges::all_of(text, fits))
    return Fail(Errc::kInvalid, "must be 1 to 64 letters, digits, '-', '_', '.'");
  return {};
}

Result<> CheckMqtt(const MqttConfig& config) {
  if (config.broker.host.empty())
    return {};
  if (config.device.empty())
    return Fail(Errc::kInvalid, "[mqtt] broker needs device: the name of this device in the fleet");
  if (config.certificate.empty() != config.key.empty())
    return Fail(Errc::kInvalid, "[mqtt] certificate and key belong together");
  return {};
}

}  // namespace wherry::engine
