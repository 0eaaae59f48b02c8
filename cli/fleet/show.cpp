// fleet devices, watch.
#include <algorithm>

#include "cli/fleet/fleet.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

using ota::FleetDevice;

constexpr size_t kReasonColumn = 80;

bool IsIn(const FleetDevice& device, const std::string& group) {
  return group.empty() || std::ranges::find(device.groups, group) != device.groups.end();
}

std::string Why(const FleetDevice& device) {
  if (!device.code.empty())
    return Cat(device.code, " ", device.reason);
  return device.waiting.empty() ? std::string() : Cat("waits: ", device.waiting);
}

std::string JsonOf(const std::string& name, const FleetDevice& device) {
  JsonWriter json;
  json.Object().Field("device", name).Field("connected", device.online);
  json.Field("groups", device.groups).Field("engine", device.engine).Field("boot", device.boot);
  json.Field("state", device.state).Field("deployment", device.deployment);
  json.Field("release", device.release).Field("active", device.active);
  json.Field("previous", device.previous).Field("code", device.code);
  json.Field("reason", device.reason).Field("waiting", device.waiting).End();
  return json.Take();
}

std::string Text(const ota::FleetView& view, const std::string& group, bool as_json) {
  std::vector<std::vector<std::string>> rows{
      {"DEVICE", "CONNECTED", "GROUPS", "RELEASE", "STATE", "DEPLOYMENT", "REASON"}};
  JsonWriter json;
  json.Array();
  for (const auto& [name, device] : view.devices()) {
    if (!IsIn(device, group))
      continue;
    if (as_json)
      json.Raw(JsonOf(name, device));
    else
      rows.push_back({name, device.online ? "yes" : "no", Join(device.groups, ","), device.release,
                      device.state, device.deployment, Why(device).substr(0, kReasonColumn)});
  }
  json.End();
  return as_json ? Cat(json.text(), "\n") : FormatTable(rows);
}

}  // namespace

void RolloutTeller::Tell(const ota::Rollout& rollout, const ota::FleetView& view) {
  const ota::RolloutCounts& counts = rollout.counts;
  if (json_) {
    std::string text = rollout.ToJson();
    if (text != last_)
      PrintLine(text);
    last_ = std::move(text);
    return;
  }
  const ota::DeploymentId& deployment = rollout.plan.deployment;
  for (const auto& [name, device] : view.devices()) {
    std::string why = ota::FailureOf(device, deployment);
    if (!why.empty() && IsIn(device, rollout.plan.group) && told_.insert(name).second)
      PrintLine(Cat("  ", name, " failed: ", why));
  }
  std::string line = Cat(deployment.name, " ", ota::PhaseName(rollout.phase), ", wave ",
                         rollout.wave + 1, " of ", rollout.plan.waves.size(), " (", rollout.gate(),
                         " of 1000): ", counts.open, " of ", counts.members, " devices");
  for (ota::Outcome outcome :
       {ota::Outcome::kConfirmed, ota::Outcome::kFailed, ota::Outcome::kOverdue,
        ota::Outcome::kTrial, ota::Outcome::kBusy, ota::Outcome::kAway})
    Append(line, outcome == ota::Outcome::kConfirmed ? "; " : ", ", ota::OutcomeName(outcome), " ",
           counts.of(outcome));
  if (!rollout.reason.empty())
    Append(line, ": ", rollout.reason);
  if (line != last_)
    PrintLine(line);
  last_ = std::move(line);
}

Result<int> FleetDevices(FleetCall& call) {
  return Once(call, "", [&call](ota::FleetSession& session, auto end) {
    std::string group = call.arguments.Value("group");
    (void)Print(Text(session.view(), group, call.json()));
    end(0);
  });
}

Result<int> FleetWatch(FleetCall& call) {
  std::string group = TRY(GroupOf(call));
  ota::PrivateKey key = TRY(call.Key());
  std::vector<ota::PublicKey> keys;
  keys.push_back(TRY(key.Public()));
  RolloutTeller teller(call.json());
  std::function<void(ota::FleetSession&, std::function<void(Result<int>)>)> look;
  look = [&](ota::FleetSession& session, const std::function<void(Result<int>)>& end) {
    if (session.rollout().empty())
      return end(Fail(Errc::kNotFound, Cat("group ", group, " has no rollout")));
    Result<ota::Rollout> rollout = ota::Rollout::Open(session.rollout(), keys);
    if (!rollout)
      return end(std::unexpected(std::move(rollout).error()));
    // What the controller has seen to end is told by the devices' own reports a little later.
    ota::RolloutCounts counts = ota::Count(*rollout, session.view(), Uptime());
    if (counts.ended() >= rollout->counts.ended())
      rollout->counts = counts;
    teller.Tell(*rollout, session.view());
    if (rollout->ended())
      return end(rollout->phase == ota::Phase::kDone ? 0 : 1);
    call.loop.After(std::chrono::milliseconds(500), [&look, &session, end] { look(session, end); });
  };
  return Once(call, group, look);
}

}  // namespace wherry::cli
