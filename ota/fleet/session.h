// A connection of the fleet tool to the broker: knows when all that is retained has come, and keeps
// the fleet's state and one group's documents up to date over reconnects. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "net/mqtt/client.h"
#include "ota/fleet/view.h"

namespace wherry::ota {

class FleetSession final : public mqtt::ClientUser {
 public:
  struct Options {
    mqtt::ClientOptions client;  // client_id included
    std::string tenant;
    std::string group;  // whose documents are kept; empty: none
  };
  struct Handlers {
    // All that is retained is here; after each connection.
    std::function<void()> synced;
    // Something has come since.
    std::function<void()> changed;
    // No connection; it is tried again, unless the handler ends it.
    std::function<void(const Error&)> lost;
  };

  // The loop outlives it.
  FleetSession(Loop* loop, Options options, Handlers handlers);

  void Start();
  // Says farewell. Nothing comes any more.
  void Stop() { client_.Stop(); }
  bool synced() const { return synced_; }

  FleetView& view() { return view_; }
  const FleetView& view() const { return view_; }
  // The retained payloads of "g/GROUP/desired" and "fleet/rollout/GROUP"; empty: there is none.
  const std::string& desired() const { return desired_; }
  const std::string& rollout() const { return rollout_; }
  std::string desired_topic() const { return Topic("g/" + group_ + "/desired"); }
  std::string rollout_topic() const { return Topic("fleet/rollout/" + group_); }
  std::string Topic(std::string_view rest) const;

  // With QoS 1.
  Result<> Publish(const std::string& topic, std::string payload, bool retain, mqtt::Done done);
  // To a device; the answer comes to `answered` with the device's name.
  Result<> Request(const std::string& device, std::string_view method, std::string payload);
  std::function<void(std::string_view device, std::string_view payload)> answered;

  // Messages and bytes of payload that came from devices.
  uint64_t messages() const { return messages_; }
  uint64_t bytes() const { return bytes_; }

  void OnConnected(bool session_present) override;
  void OnDisconnected(const Error& error, std::chrono::milliseconds retry_in) override;
  mqtt::Acknowledge OnMessage(const mqtt::Publish& message, uint64_t ticket) override;

 private:
  void Subscribe(const std::string& filter);

  std::string tenant_;
  std::string group_;
  std::string name_;   // of this tool in topics: its client identifier
  std::string token_;  // comes back when all that is retained has come
  Handlers handlers_;
  mqtt::Client client_;
  FleetView view_;
  std::string desired_;
  std::string rollout_;
  bool synced_ = false;
  uint64_t requests_ = 0;
  uint64_t messages_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace wherry::ota
