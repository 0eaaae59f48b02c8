// What is wanted: verified and remembered on the worker, given to the host when its wave is open.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "ota/agent.h"
#include "ota/release_files.h"

namespace wherry::ota {

void Agent::OnDesired(const mqtt::Publish& message, uint64_t ticket) {
  if (message.qos == 0)
    ticket = 0;
  const std::string& topic = message.topic;
  if (message.payload.empty()) {  // the retained message was taken away
    wanted_.erase(topic);
    return client_.AcknowledgeMessage(ticket);
  }
  OnWorker<Result<WantedMarks::Taken>>(
      [marks = marks_, topic, payload = message.payload,
       options = options_]() -> Result<WantedMarks::Taken> {
        auto keys = TRY(LoadKeys(options->rollout_keys));
        return marks->Take(topic, payload, keys);
      },
      [this, topic, ticket](Result<WantedMarks::Taken> taken) {
        OnTaken(topic, ticket, std::move(taken));
      });
}

void Agent::OnTaken(const std::string& topic, uint64_t ticket, Result<WantedMarks::Taken> taken) {
  if (!taken) {
    LogWarning("fleet: ", taken.error().message());
    return client_.AcknowledgeMessage(ticket);
  }
  Wanted& wanted = wanted_[topic];
  client_.AcknowledgeMessage(wanted.ticket);  // the one before it no longer matters
  wanted = {std::move(taken->desired), ticket, false, taken->settled};
  Evaluate(topic);
}

// Asked again at every change of the device's state: an update that is in the way ends some time.
void Agent::Evaluate(const std::string& topic) {
  Wanted& wanted = wanted_[topic];
  if (wanted.busy)
    return;
  const Desired& desired = wanted.desired;
  const std::string& deployment = desired.deployment;
  bool open = !desired.hold && desired.OpenFor(options_->device);
  if (!desired.revoke && (wanted.settled || !open))
    return Evaluated(topic, deployment, {});
  wanted.busy = true;
  auto answer = [this, topic, deployment, alive = std::weak_ptr(alive_)](Result<> result) {
    if (!alive.expired())
      Evaluated(topic, deployment, result);
  };
  if (desired.revoke)
    env_.host->Revoke(deployment, std::move(answer));
  else
    env_.host->Apply(desired.release, deployment, std::move(answer));
}

void Agent::Evaluated(const std::string& topic, const std::string& deployment,
                      const Result<>& result) {
  auto found = wanted_.find(topic);
  if (found == wanted_.end() || found->second.desired.deployment != deployment)
    return;
  Wanted& wanted = found->second;
  bool asked = std::exchange(wanted.busy, false) && !wanted.desired.revoke;
  constexpr std::array kRefusals = {Errc::kDenied, Errc::kInvalid, Errc::kUnsupported};
  bool taken = result || result.error().code() == Errc::kNotModified;
  bool refused = !taken && std::ranges::find(kRefusals, result.error().code()) != kRefusals.end();
  if (asked && (taken || refused)) {
    wanted.settled = true;
    Settle(topic, deployment, refused ? &result.error() : nullptr);
  } else if (asked && result.error().code() != Errc::kConflict) {
    AskAgain(topic, result.error());  // a conflict ends with a change of state
  }
  client_.AcknowledgeMessage(std::exchange(wanted.ticket, 0));
}

// A registry that cannot be reached, a full disk: after a while, for as long as it is wanted.
void Agent::AskAgain(const std::string& topic, const Error& error) {
  constexpr std::chrono::seconds kFirst{5};
  constexpr std::chrono::seconds kLast{600};
  Wanted& wanted = wanted_[topic];
  if (wanted.delay.count() == 0)
    LogWarning("fleet: deployment ", wanted.desired.deployment, ": ", error.message());
  wanted.delay = std::clamp(wanted.delay * 2, kFirst, kLast);
  env_.loop->After(wanted.delay, [this, topic, deployment = wanted.desired.deployment,
                                  alive = std::weak_ptr(alive_)] {
    if (alive.expired())
      return;
    auto found = wanted_.find(topic);
    if (found != wanted_.end() && found->second.desired.deployment == deployment)
      Evaluate(topic);
  });
}

// What was taken is not given to the host again, whatever takes its place there; what was refused
// is told once, also when it is delivered again.
void Agent::Settle(const std::string& topic, const std::string& deployment, const Error* refusal) {
  std::optional<OutboxEvent> event;
  if (refusal != nullptr) {
    LogWarning("fleet: deployment ", deployment, " is refused: ", refusal->message());
    JsonWriter json;
    json.Object().Field("boot", options_->boot).Field("st", "REJECTED");
    json.Field("code", refusal->code() == Errc::kDenied ? "E_DENIED" : "E_RELEASE");
    json.Field("msg", refusal->message()).End();
    event.emplace();
    event->last = true;
    event->topic = Cat("dep/", deployment);
    event->payload = json.Take();
  }
  OnWorker<Result<>>(
      [marks = marks_, outbox = env_.outbox, topic, deployment, event]() -> Result<> {
        if (event)
          TRY(outbox->Add(*event));
        return marks->Settle(topic, deployment);
      },
      [this](const Result<>& kept) {
        if (!kept)
          LogWarning("fleet: ", kept.error().message());
        SendEvents();
      });
}

}  // namespace wherry::ota
