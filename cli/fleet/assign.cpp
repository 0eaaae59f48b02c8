// fleet assign, rollback: without waves and without anything that stays behind.
#include <algorithm>

#include "cli/fleet/fleet.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "ota/fleet/conductor.h"

namespace wherry::cli {

namespace {

using ota::Desired;
using ota::FleetSession;
using End = std::function<void(Result<int>)>;

constexpr std::string_view kRequestType = "application/vnd.wherry.request.v1+json";
constexpr std::chrono::seconds kAnswerPatience{20};
constexpr std::chrono::milliseconds kRetry{50};

// A rollout has a controller, which would not know.
Result<> CheckNoRollout(const FleetSession& session, std::span<const ota::PublicKey> keys) {
  if (session.rollout().empty())
    return {};
  ota::Rollout rollout = TRY(ota::Rollout::Open(session.rollout(), keys));
  if (!rollout.ended())
    return Fail(Errc::kConflict, Cat("rollout ", rollout.plan.deployment.name, " of the group is ",
                                     ota::PhaseName(rollout.phase), ": abort it first"));
  return {};
}

// What was there, when it is ours.
std::optional<Desired> Before(const FleetSession& session, std::span<const ota::PublicKey> keys) {
  auto before = Desired::Open(session.desired(), keys, session.desired_topic());
  return before ? std::optional(*std::move(before)) : std::nullopt;
}

Result<std::string> SignedRequest(const ota::PrivateKey& key, std::string_view device,
                                  const ota::FleetDevice& seen) {
  JsonWriter json;
  json.Object().Field("method", "update.rollback").Field("device", device);
  json.Field("boot", seen.boot).Key("params").Object().Field("expected", seen.previous);
  json.End().End();
  ota::Envelope envelope{std::string(kRequestType), json.Take(), {}};
  TRY(envelope.Sign(key));
  return envelope.ToJson();
}

// Asks the devices that have confirmed a deployment to go back, and tells what each said.
class Rollback {
 public:
  Rollback(Loop* loop, const ota::PrivateKey* key, FleetSession* session, End end)
      : loop_(loop), key_(key), session_(session), end_(std::move(end)) {
    session->answered = [this](std::string_view device, std::string_view payload) {
      OnAnswer(device, payload);
    };
  }

  void Begin(const std::string& group, const std::string& deployment) {
    for (const auto& [name, device] : session_->view().devices()) {
      bool member = std::ranges::find(device.groups, group) != device.groups.end();
      if (!member || device.deployment != deployment || device.state != "CONFIRMED")
        continue;
      std::string& said = said_[name];
      if (device.previous.empty())
        said = "has no release before this one";
      else if (!device.online)
        said = "is not connected: not asked";
      else
        waiting_.push_back(name);
    }
    Send();
    loop_->After(kAnswerPatience, [this] { Finish(); });
  }

 private:
  // As many as the client has room for; the rest a little later.
  void Send() {
    while (!waiting_.empty()) {
      const std::string& name = waiting_.back();
      Result<> sent = SendOne(name);
      if (!sent && sent.error().code() == Errc::kBusy) {
        loop_->After(kRetry, [this] { Send(); });
        return;
      }
      if (sent)
        ++asked_;
      else
        said_[name] = sent.error().message();
      waiting_.pop_back();
    }
    if (asked_ == 0)
      Finish();
  }

  Result<> SendOne(const std::string& name) {
    const ota::FleetDevice& device = session_->view().devices().find(name)->second;
    std::string request = TRY(SignedRequest(*key_, name, device));
    return session_->Request(name, "update.rollback", std::move(request));
  }

  void OnAnswer(std::string_view device, std::string_view payload) {
    auto found = said_.find(device);
    auto answer = JsonDocument::Parse(payload, "answer");
    if (found == said_.end() || !found->second.empty() || !answer)
      return;
    JsonValue error = (*answer)["error"];
    found->second = error ? std::string(error["message"].str()) : "goes back";
    good_ += error ? 0 : 1;
    if (--asked_ == 0 && waiting_.empty())
      Finish();
  }

  void Finish() {
    if (std::exchange(finished_, true))
      return;
    std::vector<std::vector<std::string>> rows{{"DEVICE", "ANSWER"}};
    for (const auto& [name, text] : said_)
      rows.push_back({name, text.empty() ? "has not answered" : text});
    (void)Print(FormatTable(rows));
    end_(good_ == said_.size() ? 0 : 1);
  }

  Loop* loop_;
  const ota::PrivateKey* key_;
  FleetSession* session_;
  End end_;
  std::map<std::string, std::string, std::less<>> said_;
  std::vector<std::string> waiting_;
  size_t asked_ = 0;
  size_t good_ = 0;
  bool finished_ = false;
};

}  // namespace

Result<int> FleetAssign(FleetCall& call) {
  constexpr uint64_t kWhole = 1000;
  std::string group = TRY(GroupOf(call));
  FleetRelease release = TRY(ReadFleetRelease(call));
  Desired wanted;
  wanted.deployment = TRY(DeploymentOf(call, release.release));
  uint64_t gate = TRY(NumberOf(call, "gate", kWhole, kWhole));
  wanted.gate = static_cast<uint32_t>(gate);
  wanted.release = std::move(release.wanted);
  ota::PrivateKey key = TRY(call.Key());
  std::vector<ota::PublicKey> keys;
  keys.push_back(TRY(key.Public()));
  return Once(call, group, [&](FleetSession& session, const End& end) {
    auto publish = [&]() -> Result<> {
      TRY(CheckNoRollout(session, keys));
      std::optional<Desired> before = Before(session, keys);
      wanted.sequence = ota::NextSequence(before ? before->sequence : 0);
      std::string payload = TRY(ota::SignDesired(key, wanted));
      return session.Publish(
          session.desired_topic(), std::move(payload), true, [&, end](const Result<>& result) {
            if (!result)
              return end(std::unexpected(result.error().Clone()));
            PrintLine(Cat(wanted.deployment, " for ", wanted.gate, " of 1000 devices of ", group));
            end(0);
          });
    };
    if (Result<> published = publish(); !published)
      end(std::unexpected(std::move(published).error()));
  });
}

// Nobody else takes the release any more, then those that have it are asked.
Result<int> FleetRollback(FleetCall& call) {
  std::string group = TRY(GroupOf(call));
  ota::PrivateKey key = TRY(call.Key());
  std::vector<ota::PublicKey> keys;
  keys.push_back(TRY(key.Public()));
  std::unique_ptr<Rollback> rollback;
  return Once(call, group, [&](FleetSession& session, const End& end) {
    auto revoke = [&]() -> Result<> {
      TRY(CheckNoRollout(session, keys));
      std::optional<Desired> wanted = Before(session, keys);
      if (!wanted)
        return Fail(Errc::kNotFound, Cat("nothing is assigned to group ", group));
      wanted->sequence = ota::NextSequence(wanted->sequence);
      wanted->revoke = true;
      wanted->release.clear();
      std::string payload = TRY(ota::SignDesired(key, *wanted));
      rollback = std::make_unique<Rollback>(&call.loop, &key, &session, end);
      return session.Publish(session.desired_topic(), std::move(payload), true,
                             [&, end, deployment = wanted->deployment](const Result<>& result) {
                               if (!result)
                                 return end(std::unexpected(result.error().Clone()));
                               rollback->Begin(group, deployment);
                             });
    };
    if (Result<> revoked = revoke(); !revoked)
      end(std::unexpected(std::move(revoked).error()));
  });
}

}  // namespace wherry::cli
