// What is wanted: verified and remembered on the worker, given to the host when its wave is open.
#include <utility>

#include "core/base/log.h"
#include "core/base/text.h"
#include "ota/agent.h"

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
      [marks = marks_, topic, payload = message.payload, options = options_] {
        return marks->Take(topic, payload, options->rollout_keys);
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
  wanted = {std::move(taken->desired), ticket, false, taken->refused};
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
  if (!desired.revoke && (wanted.refused || !open))
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
  wanted.busy = false;
  if (!result && !wanted.refused &&
      (result.error().code() == Errc::kDenied || result.error().code() == Errc::kInvalid ||
       result.error().code() == Errc::kUnsupported)) {
    wanted.refused = true;
    Refuse(topic, deployment, result.error());
  }
  client_.AcknowledgeMessage(std::exchange(wanted.ticket, 0));
}

// Told once for each deployment, also when it is delivered again.
void Agent::Refuse(const std::string& topic, const std::string& deployment, const Error& error) {
  LogWarning("fleet: deployment ", deployment, " is refused: ", error.message());
  JsonWriter json;
  json.Object().Field("boot", options_->boot).Field("st", "REJECTED");
  json.Field("code", error.code() == Errc::kDenied ? "E_DENIED" : "E_RELEASE");
  json.Field("msg", error.message()).End();
  OutboxEvent event;
  event.last = true;
  event.topic = Cat("dep/", deployment);
  event.payload = json.Take();
  OnWorker<Result<>>(
      [marks = marks_, outbox = env_.outbox, topic, deployment, event]() -> Result<> {
        TRY(outbox->Add(event));
        return marks->Refuse(topic, deployment);
      },
      [this](const Result<>& kept) {
        if (!kept)
          LogWarning("fleet: ", kept.error().message());
        SendEvents();
      });
}

}  // namespace wherry::ota
