#include "ota/fleet/rollout.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/oci/spec_reader.h"
#include "ota/desired.h"
#include "ota/dsse.h"

namespace wherry::ota {

namespace {

constexpr std::string_view kPhases[] = {"running", "paused", "done", "aborted"};
constexpr std::string_view kWhat = "the rollout's retained document";
constexpr int64_t kMaxNumber = int64_t{1} << 53;
constexpr size_t kMaxWaves = 100;

Result<RolloutPlan> ReadPlan(const oci::Field& root) {
  RolloutPlan plan;
  plan.deployment.name = TRY(root["dep"].Text());
  plan.deployment.release = TRY(root["release"]["digest"].Text());
  int64_t seconds = 0;
  TRY(root["deadline_s"].Store(seconds, 0, kMaxNumber));
  plan.deployment.deadline = std::chrono::seconds(seconds);
  plan.group = TRY(root["group"].Text());
  plan.release_name = TRY(root["release"]["name"].Text());
  TRY(root["release"]["seq"].Store(plan.release_sequence, 0, kMaxNumber));
  plan.waves.clear();
  for (const oci::Field& wave : TRY(root["waves"].Elements())) {
    int64_t gate = TRY(wave.Number(0, kMaxNumber));
    plan.waves.push_back(static_cast<uint32_t>(std::min<int64_t>(gate, UINT32_MAX)));
  }
  TRY(root["abort_percent"].Store(plan.abort_percent, 0, 100));
  TRY(root["min"].Store(plan.least, 0, UINT32_MAX));
  TRY(root["soak_s"].Store(seconds, 0, kMaxNumber));
  plan.soak = std::chrono::seconds(seconds);
  TRY(root["patience_s"].Store(seconds, 0, kMaxNumber));
  plan.patience = std::chrono::seconds(seconds);
  TRY(plan.Check());
  return plan;
}

bool Enter(Rollout& rollout, Phase phase, std::string reason) {
  rollout.phase = phase;
  rollout.reason = std::move(reason);
  return true;
}

}  // namespace

std::string_view PhaseName(Phase phase) {
  return kPhases[static_cast<size_t>(phase)];
}

Result<> RolloutPlan::Check() const {
  constexpr uint32_t kWhole = 1000;
  bool rises = std::ranges::is_sorted(waves, std::less_equal<>());
  if (waves.empty() || waves.size() > kMaxWaves || !rises || waves.front() < 1 ||
      waves.back() > kWhole)
    return Fail(Errc::kInvalid, "waves must be rising numbers from 1 to 1000, as in 10,200,1000");
  return {};
}

void RolloutCounts::Write(JsonWriter& json) const {
  json.Field("members", members).Field("open", open);
  for (size_t i = 0; i < std::size(by_outcome); ++i)
    json.Field(OutcomeName(static_cast<Outcome>(i)), by_outcome[i]);
}

std::string Rollout::ToJson() const {
  JsonWriter json;
  json.Object().Field("v", 1).Field("dep", plan.deployment.name).Field("group", plan.group);
  json.Key("release").Object().Field("name", plan.release_name);
  json.Field("seq", plan.release_sequence).Field("digest", plan.deployment.release).End();
  json.Field("deadline_s", plan.deployment.deadline.count()).Key("waves").Array();
  for (uint32_t gate : plan.waves)
    json.Uint(gate);
  json.End().Field("abort_percent", plan.abort_percent).Field("min", plan.least);
  json.Field("soak_s", plan.soak.count()).Field("patience_s", plan.patience.count());
  json.Field("epoch", epoch).Field("state", PhaseName(phase)).Field("wave", wave);
  json.Field("opened", opened).Field("settled", settled).Field("reason", reason);
  json.Key("counts").Object();
  counts.Write(json);
  json.End().Key("refused").Array();
  for (const Refused& one : refused) {
    json.Object().Field("device", one.device).Field("code", one.code);
    json.Field("msg", one.reason).End();
  }
  json.End().End();
  return json.Take();
}

Result<Rollout> Rollout::Open(std::string_view envelope, std::span<const PublicKey> keys) {
  Envelope opened_envelope = TRY(Envelope::Parse(envelope, kWhat));
  if (opened_envelope.payload_type != kRolloutType)
    return Fail(Errc::kInvalid, Cat(kWhat, " is no rollout but ", opened_envelope.payload_type));
  if (opened_envelope.SignedBy(keys) == nullptr)
    return Fail(Errc::kDenied, Cat(kWhat,
                                   " is not signed by this rollout key: use the key it was "
                                   "begun with, or remove the retained message"));
  JsonDocument document = TRY(JsonDocument::Parse(opened_envelope.payload, kWhat));
  JsonValue value = document.root();
  oci::Field root(value, kWhat);
  TRY(root["v"].Number(1, 1));
  Rollout rollout;
  rollout.plan = TRY(ReadPlan(root));
  TRY(root["epoch"].Store(rollout.epoch, 0, kMaxNumber));
  std::string state = TRY(root["state"].Text());
  const auto* phase = std::ranges::find(kPhases, state);
  if (phase == std::end(kPhases))
    return root["state"].Bad("is not known to this version of wherry");
  rollout.phase = static_cast<Phase>(phase - kPhases);
  TRY(root["wave"].Store(rollout.wave, 0, static_cast<int64_t>(rollout.plan.waves.size()) - 1));
  TRY(root["opened"].Store(rollout.opened, 0, kMaxNumber));
  TRY(root["settled"].Store(rollout.settled, 0, kMaxNumber));
  rollout.reason = TRY(root["reason"].Text());
  JsonValue counts = value["counts"];
  rollout.counts.members = static_cast<uint64_t>(counts["members"].integer());
  rollout.counts.open = static_cast<uint64_t>(counts["open"].integer());
  for (size_t i = 0; i < std::size(rollout.counts.by_outcome); ++i) {
    rollout.counts.by_outcome[i] =
        static_cast<uint64_t>(counts[OutcomeName(static_cast<Outcome>(i))].integer());
  }
  for (JsonValue one : value["refused"]) {
    rollout.refused.push_back({std::string(one["device"].str()), std::string(one["code"].str()),
                               std::string(one["msg"].str())});
  }
  return rollout;
}

RolloutCounts Count(const Rollout& rollout, const FleetView& view,
                    std::chrono::nanoseconds uptime) {
  Desired gate;
  gate.deployment = rollout.plan.deployment.name;
  gate.gate = rollout.gate();
  RolloutCounts counts;
  for (const auto& [name, device] : view.devices()) {
    if (std::ranges::find(device.groups, rollout.plan.group) == device.groups.end())
      continue;
    ++counts.members;
    if (!gate.OpenFor(name))
      continue;
    ++counts.open;
    ++counts.by_outcome[static_cast<size_t>(OutcomeOf(device, rollout.plan.deployment, uptime))];
  }
  return counts;
}

// Devices that are away hold nothing up: the gate is still open when they return. Failures come
// sooner than confirmations, so devices in trial are counted with those that have come to their
// end. With few of them one failure says little, so that `least` stands for them; but a wave
// without any success opens no further one.
bool Advance(Rollout& rollout, const RolloutCounts& counts, int64_t unix_seconds) {
  const RolloutPlan& plan = rollout.plan;
  if (rollout.phase != Phase::kRunning)
    return false;
  uint64_t begun = counts.ended() + counts.of(Outcome::kTrial);
  uint64_t of = std::max<uint64_t>(begun, plan.least);
  if (counts.bad() * 100 > of * plan.abort_percent)
    return Enter(
        rollout, Phase::kAborted,
        Cat(counts.bad(), " of ", begun, " devices failed (", counts.of(Outcome::kOverdue),
            " of them silent); allowed are ", plan.abort_percent, " % of at least ", plan.least));
  bool patient = unix_seconds - rollout.opened < plan.patience.count();
  uint64_t at_work = counts.of(Outcome::kBusy) + counts.of(Outcome::kTrial);
  bool waits = (at_work > 0 && patient) || (counts.open > 0 && counts.ended() == 0);
  if (waits) {
    bool was_settled = rollout.settled != 0;
    rollout.settled = 0;
    return was_settled;
  }
  if (counts.bad() > 0 && counts.of(Outcome::kConfirmed) == 0)
    return Enter(rollout, Phase::kPaused,
                 Cat("none of ", counts.bad(), " devices has confirmed the release"));
  if (rollout.settled == 0) {
    rollout.settled = unix_seconds;
    if (plan.soak.count() > 0)
      return true;
  }
  if (unix_seconds - rollout.settled < plan.soak.count())
    return false;
  if (rollout.wave + 1 == plan.waves.size())
    return Enter(rollout, Phase::kDone, "");
  ++rollout.wave;
  rollout.opened = unix_seconds;
  rollout.settled = 0;
  return true;
}

}  // namespace wherry::ota
