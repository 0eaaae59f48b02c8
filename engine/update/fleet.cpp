#include "engine/update/fleet.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kBootId = "/proc/sys/kernel/random/boot_id";

// What may be asked over the broker. Those that change something are signed.
struct Method {
  std::string_view name;
  bool is_signed;
  Result<std::string> (*run)(Updates& updates, JsonValue parameters);
};

Result<std::string> Empty(Result<> result) {
  TRY(std::move(result));
  return "{}";
}

constexpr Method kMethods[] = {
    {"state.get", false,
     [](Updates& updates, JsonValue) -> Result<std::string> { return updates.StatusJson(); }},
    {"evidence.get", false,
     [](Updates& updates, JsonValue) -> Result<std::string> {
       std::string evidence = updates.updater().Evidence();
       return evidence.empty() ? "null" : evidence;
     }},
    {"history.get", false,
     [](Updates& updates, JsonValue) -> Result<std::string> { return updates.HistoryJson(); }},
    {"update.cancel", true,
     [](Updates& updates, JsonValue) {
       return Empty(updates.updater().Cancel(ota::Code::kRequested, "cancelled by the fleet"));
     }},
    {"update.confirm", true,
     [](Updates& updates, JsonValue) { return Empty(updates.updater().Confirm()); }},
    {"update.rollback", true,
     [](Updates& updates, JsonValue parameters) -> Result<std::string> {
       Digest expected;
       if (parameters["expected"])
         expected = TRY(Digest::Parse(parameters["expected"].str()));
       return Empty(updates.updater().Rollback(expected));
     }},
};

}  // namespace

Result<std::unique_ptr<Fleet>> Fleet::Open(const Environment& environment) {
  std::unique_ptr<Fleet> fleet(new Fleet(environment));
  std::string boot = TRY(ReadFile(std::string(kBootId)));
  fleet->boot_ = Trim(boot);
  fleet->outbox_ = TRY(ota::Outbox::Open(Cat(environment.config->root, "/ota/outbox")));
  ota::AgentOptions options = TRY_CTX("[mqtt]", fleet->Options());
  fleet->agent_ = std::make_unique<ota::Agent>(
      ota::Agent::Environment{environment.loop, &fleet->worker_, fleet->outbox_.get(), fleet.get()},
      std::move(options));
  return fleet;
}

Fleet::~Fleet() = default;

Result<ota::AgentOptions> Fleet::Options() {
  const MqttConfig& mqtt = env_.config->mqtt;
  ota::AgentOptions options;
  options.tenant = mqtt.tenant;
  options.device = mqtt.device;
  options.groups = mqtt.groups;
  options.rollout_keys = mqtt.rollout_keys;
  options.marks = Cat(env_.config->root, "/ota/wanted.json");
  options.boot = boot_;
  options.version = WHERRY_VERSION;
  options.report_period = mqtt.report_period;
  tls::Target& target = options.client.target;
  target.host = mqtt.broker.host;
  target.port = mqtt.broker.port;
  if (mqtt.broker.tls) {
    tls::TlsTrust trust;
    trust.ca_files = {mqtt.ca.empty() ? env_.config->registry.system_ca : mqtt.ca};
    trust.config_section = "[mqtt]";
    target.tls = TRY(tls::Config::Client(std::move(trust), {mqtt.certificate, mqtt.key}));
  }
  return options;
}

void Fleet::Start() {
  agent_->Start();
}

void Fleet::OnReport(const ota::Report& report) {
  const ota::UpdateState& update = report.update;
  JsonWriter json;
  json.Object()
      .Field("boot", boot_)
      .Field("up", std::chrono::duration_cast<std::chrono::milliseconds>(Uptime()).count());
  json.Field("st", ota::StateName(update.state)).Field("code", ota::CodeName(update.code));
  json.Field("msg", update.reason).End();
  ota::OutboxEvent event;
  event.source = report.number;
  event.last = update.AtRest();
  event.topic = Cat("dep/", update.deployment);
  event.payload = json.Take();
  if (auto added = outbox_->Add(std::move(event)); !added)
    LogWarning("fleet: an event is kept in memory only: ", added.error().message());
  env_.loop->Post([this, alive = std::weak_ptr(alive_)] {
    if (alive.expired())
      return;
    agent_->SendEvents();
    agent_->StateChanged();
  });
}

template <class T>
void Fleet::OnWorker(std::move_only_function<Result<T>()> work, Answer<T> answer) {
  worker_.Run([loop = env_.loop, work = std::move(work), answer = std::move(answer)]() mutable {
    auto result = std::make_shared<Result<T>>(work());
    loop->Post([result, answer = std::move(answer)]() mutable { answer(std::move(*result)); });
  });
}

void Fleet::Apply(std::string release, std::string deployment, Answer<> answer) {
  OnWorker<void>(
      [updates = env_.updates, release = std::move(release),
       deployment = std::move(deployment)]() -> Result<> {
        TRY(updates->Apply(release, deployment));
        return {};
      },
      std::move(answer));
}

// Of another deployment, or one that has come to its end: nothing is to be done.
void Fleet::Revoke(std::string deployment, Answer<> answer) {
  OnWorker<void>(
      [updates = env_.updates, deployment = std::move(deployment)]() -> Result<> {
        ota::UpdateState now = updates->updater().Now().update;
        if (now.deployment != deployment || now.AtRest())
          return {};
        return updates->updater().Cancel(ota::Code::kRevoked, "revoked by the fleet");
      },
      std::move(answer));
}

void Fleet::State(Answer<std::string> answer) {
  OnWorker<std::string>(
      [updates = env_.updates]() -> Result<std::string> { return updates->StatusJson(); },
      std::move(answer));
}

void Fleet::Request(std::string method, std::string parameters, bool is_signed,
                    Answer<std::string> answer) {
  auto row = std::ranges::find(kMethods, method, &Method::name);
  if (row == std::end(kMethods))
    return answer(Fail(Errc::kUnsupported, Cat("request ", method, " is not supported by wherry")));
  if (row->is_signed && !is_signed)
    return answer(Fail(Errc::kDenied, Cat("request ", method,
                                          " has to be signed by a key this "
                                          "device trusts for rollouts")));
  OnWorker<std::string>(
      [updates = env_.updates, run = row->run,
       parameters = std::move(parameters)]() -> Result<std::string> {
        JsonDocument document = TRY(JsonDocument::Parse(parameters, "parameters"));
        return run(*updates, document.root());
      },
      std::move(answer));
}

}  // namespace wherry::engine
