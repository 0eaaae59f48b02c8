// The fleet as the broker tells it: each device's retained state, whether it is connected, and the
// last event of its update. Plain data, no network. What comes from devices is hostile.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::ota {

struct FleetDevice {
  bool online = false;
  std::string boot;
  std::string engine;  // version
  std::vector<std::string> groups;
  // As the device reports it: docs/updates.md.
  std::string state;
  std::string deployment;
  std::string code;
  std::string reason;
  std::string waiting;
  std::string release;  // "gateway 42" of the active one
  std::string active;   // digest of it
  std::string previous;
  // Since when it is in trial or on the way back, as seen from here; uptime.
  std::chrono::nanoseconds busy_since{};
  // Of the newest deployment it has told an event of.
  struct Event {
    std::string deployment;
    std::string state;
    std::string code;
    std::string reason;
  } event;
};

// What became of a deployment on one device.
enum class Outcome : uint8_t {
  kAway,       // not connected, and has not begun or not come to its end
  kBusy,       // connected, and has not begun its trial
  kTrial,      // connected, and in trial or on the way back
  kConfirmed,  // also when the release came by another deployment
  kFailed,
  kOverdue,  // went silent in the trial or on the way back, for longer than that may last
};
std::string_view OutcomeName(Outcome outcome);

struct DeploymentId {
  std::string name;
  std::string release;              // digest
  std::chrono::seconds deadline{};  // of its trial
};

Outcome OutcomeOf(const FleetDevice& device, const DeploymentId& deployment,
                  std::chrono::nanoseconds uptime);
// Why it failed: code and sentence; empty when it did not.
std::string FailureOf(const FleetDevice& device, const DeploymentId& deployment);

class FleetView {
 public:
  // A message whose topic was "wherry/1/TENANT/" + `topic`. kInvalid for what no device may say;
  // nothing has changed then. False: it is about no device.
  Result<bool> Take(std::string_view topic, std::string_view payload,
                    std::chrono::nanoseconds uptime);
  // A refusal that was seen earlier, by a controller before this one.
  void Remember(const std::string& device, FleetDevice::Event event);

  const std::map<std::string, FleetDevice, std::less<>>& devices() const { return devices_; }

 private:
  std::map<std::string, FleetDevice, std::less<>> devices_;
};

}  // namespace wherry::ota
