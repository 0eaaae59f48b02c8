#include "ota/fleet/view.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "ota/update_state.h"

namespace wherry::ota {

namespace {

// The broker tells that a device is gone only some time after it is.
constexpr std::chrono::seconds kSilence{60};
constexpr size_t kMaxText = 512;

bool IsFailure(std::string_view state) {
  constexpr State kBad[] = {State::kReverted, State::kRejected, State::kCancelled, State::kBothBad};
  return std::ranges::any_of(kBad, [&](State bad) { return state == StateName(bad); });
}

bool IsConfirmed(std::string_view state) {
  return state == StateName(State::kConfirmed);
}

bool IsAtRisk(std::string_view state) {
  return state == StateName(State::kTrial) || state == StateName(State::kReverting);
}

// Goes to terminals and into tables.
std::string Clean(std::string_view text) {
  std::string clean(text.substr(0, kMaxText));
  std::ranges::replace_if(clean, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return clean;
}

void TakeReport(FleetDevice& device, JsonValue report, std::chrono::nanoseconds uptime) {
  bool was_at_risk = IsAtRisk(device.state) && device.deployment == report["deployment"].str();
  device.boot = Clean(report["boot"].str());
  device.groups = report["groups"].strings();
  device.state = Clean(report["state"].str());
  device.deployment = Clean(report["deployment"].str());
  device.code = Clean(report["code"].str());
  device.reason = Clean(report["reason"].str());
  device.waiting = Clean(report["waiting"].str());
  JsonValue active = report["active"];
  device.release = active.IsObject()
                       ? Cat(Clean(active["name"].str()), " ", active["sequence"].integer())
                       : std::string();
  device.active = Clean(active["digest"].str());
  device.previous = Clean(report["previous"]["digest"].str());
  if (!was_at_risk)
    device.busy_since = uptime;
}

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  constexpr std::string_view kNames[] = {"away", "busy", "trial", "confirmed", "failed", "overdue"};
  return kNames[static_cast<size_t>(outcome)];
}

// A report of the state at rest counts more than an event, which may be older.
Outcome OutcomeOf(const FleetDevice& device, const DeploymentId& deployment,
                  std::chrono::nanoseconds uptime) {
  bool reports_it = device.deployment == deployment.name;
  if (IsConfirmed(device.state) && (reports_it || device.active == deployment.release))
    return Outcome::kConfirmed;
  if (reports_it && IsFailure(device.state))
    return Outcome::kFailed;
  bool tells_it = device.event.deployment == deployment.name;
  if (tells_it && IsConfirmed(device.event.state))
    return Outcome::kConfirmed;
  if (tells_it && IsFailure(device.event.state))
    return Outcome::kFailed;
  if (device.online) {
    bool at_risk =
        (reports_it && IsAtRisk(device.state)) || (tells_it && IsAtRisk(device.event.state));
    return at_risk ? Outcome::kTrial : Outcome::kBusy;
  }
  bool overdue = reports_it && IsAtRisk(device.state) &&
                 uptime - device.busy_since > deployment.deadline + kSilence;
  return overdue ? Outcome::kOverdue : Outcome::kAway;
}

std::string FailureOf(const FleetDevice& device, const DeploymentId& deployment) {
  if (device.deployment == deployment.name && IsFailure(device.state))
    return Cat(device.code, " ", device.reason);
  if (device.event.deployment == deployment.name && IsFailure(device.event.state))
    return Cat(device.event.code, " ", device.event.reason);
  return {};
}

Result<bool> FleetView::Take(std::string_view topic, std::string_view payload,
                             std::chrono::nanoseconds uptime) {
  auto split = SplitFirst(topic, '/');
  if (!split)
    return false;
  std::string_view kind = split->tail;
  bool event = kind.starts_with("dep/");
  if (!event && kind != "reported" && kind != "conn")
    return false;
  std::string name(split->head);
  if (payload.empty()) {  // the retained message was taken away
    if (kind == "reported")
      devices_.erase(name);
    return true;
  }
  JsonDocument document = TRY(JsonDocument::Parse(payload, topic));
  FleetDevice& device = devices_[name];
  if (kind == "conn") {
    device.online = document["s"].integer() == 1;
    if (document["eng"])
      device.engine = Clean(document["eng"].str());
  } else if (kind == "reported") {
    TakeReport(device, document.root(), uptime);
  } else {
    device.event = {Clean(kind.substr(kind.find('/') + 1)), Clean(document["st"].str()),
                    Clean(document["code"].str()), Clean(document["msg"].str())};
  }
  return true;
}

void FleetView::Remember(const std::string& device, FleetDevice::Event event) {
  FleetDevice& known = devices_[device];
  if (known.event.deployment != event.deployment)
    known.event = std::move(event);
}

}  // namespace wherry::ota
