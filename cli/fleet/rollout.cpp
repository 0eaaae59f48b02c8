// fleet rollout, resume, pause, abort.
#include "cli/fleet/fleet.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "ota/fleet/conductor.h"

namespace wherry::cli {

namespace {

using ota::Conductor;

constexpr uint64_t kMaxSeconds = 30ULL * 24 * 3600;

Result<std::vector<uint32_t>> Waves(const FleetCall& call) {
  std::string list = call.arguments.Value("waves", "1000");
  std::vector<uint32_t> waves;
  for (std::string_view word : Split(list, ',')) {
    uint64_t gate = TRY_CTX("--waves", ParseUint(Trim(word)));
    waves.push_back(static_cast<uint32_t>(std::min<uint64_t>(gate, UINT32_MAX)));
  }
  return waves;
}

Result<ota::RolloutPlan> Plan(const FleetCall& call, const ota::Release& release) {
  ota::RolloutPlan plan;
  plan.deployment.name = TRY(DeploymentOf(call, release));
  plan.deployment.release = release.digest.string();
  plan.deployment.deadline = release.trial.deadline;
  plan.group = TRY(GroupOf(call));
  plan.release_name = release.name;
  plan.release_sequence = release.sequence;
  plan.waves = TRY(Waves(call));
  uint64_t percent = TRY(NumberOf(call, "abort-rate", plan.abort_percent, 100));
  uint64_t least = TRY(NumberOf(call, "min", plan.least, 1'000'000));
  uint64_t soak = TRY(NumberOf(call, "soak", 0, kMaxSeconds));
  uint64_t patience =
      TRY(NumberOf(call, "patience", static_cast<uint64_t>(plan.patience.count()), kMaxSeconds));
  plan.abort_percent = static_cast<uint32_t>(percent);
  plan.least = static_cast<uint32_t>(least);
  plan.soak = std::chrono::seconds(soak);
  plan.patience = std::chrono::seconds(patience);
  TRY_CTX("--waves", plan.Check());
  return plan;
}

// Until the rollout has ended, or the wish is fulfilled. 0: it went well; 1: aborted; 3: paused.
Result<int> Conduct(FleetCall& call, Conductor::Options options) {
  ota::PrivateKey key = TRY(call.Key());
  options.session = call.settings.session;
  options.session.group = TRY(GroupOf(call));
  // Events that come while one controller has ended and the next has not begun are kept.
  options.session.client.session_expiry = std::chrono::hours(24);
  bool wished = options.wish == Conductor::Wish::kPause || options.wish == Conductor::Wish::kAbort;
  RolloutTeller teller(call.json());
  std::optional<Result<>> ended;
  std::string trouble;
  bool begun = false;
  std::unique_ptr<Conductor> conductor = TRY(Conductor::Create(
      &call.loop, &key, std::move(options),
      {.changed =
           [&](const Conductor& now) {
             begun = true;
             trouble.clear();
             teller.Tell(now.rollout(), now.view());
           },
       .lost =
           [&](const Error& error) {
             if (!begun) {
               ended = std::unexpected(error.Clone());
               return call.loop.Stop();
             }
             if (trouble != error.message())
               (void)WriteAll(2, Cat("wherry fleet: ", error.message(), "; trying again\n"),
                              "error");
             trouble = error.message();
           },
       .done =
           [&](Result<> result) {
             ended = std::move(result);
             call.loop.Stop();
           }}));
  conductor->Start();
  TRY(call.loop.Run());
  TRY(*std::move(ended));
  constexpr int kPaused = 3;
  switch (conductor->rollout().phase) {
    case ota::Phase::kRunning:
    case ota::Phase::kDone:
      return 0;
    case ota::Phase::kPaused:
      return wished ? 0 : kPaused;
    case ota::Phase::kAborted:
      return wished ? 0 : 1;
  }
  return 0;
}

Result<int> Wish(FleetCall& call, Conductor::Wish wish, std::string_view reason) {
  Conductor::Options options;
  options.wish = wish;
  options.reason = reason;
  return Conduct(call, std::move(options));
}

}  // namespace

Result<int> FleetRollout(FleetCall& call) {
  FleetRelease release = TRY(ReadFleetRelease(call));
  Conductor::Options options;
  options.plan = TRY(Plan(call, release.release));
  options.release = std::move(release.wanted);
  return Conduct(call, std::move(options));
}

Result<int> FleetResume(FleetCall& call) {
  return Wish(call, Conductor::Wish::kResume, "");
}

Result<int> FleetPause(FleetCall& call) {
  return Wish(call, Conductor::Wish::kPause, "on request");
}

Result<int> FleetAbort(FleetCall& call) {
  return Wish(call, Conductor::Wish::kAbort, "on request");
}

}  // namespace wherry::cli
