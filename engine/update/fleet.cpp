#include "engine/update/fleet.h"

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/update/telemetry.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kBootId = "/proc/sys/kernel/random/boot_id";

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

Fleet::~Fleet() {
  env_.events->Unsubscribe(subscription_);
}

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
  OnConnection("is not reached yet");
  agent_->Start();
  subscription_ = env_.events->Subscribe([this](const Event& event) { OnEvent(event); });
  Measure();
}

// What `reported` tells of an app has changed.
void Fleet::OnEvent(const Event& event) {
  if (event.type == "container" && event.attributes.contains(std::string(kAppLabel)) &&
      !event.action.starts_with("exec_"))
    agent_->ReportSoon();
}

void Fleet::OnConnection(std::string_view trouble) {
  env_.updates->TellFleet(Cat("broker ", env_.config->mqtt.broker.Text(), ": ",
                              trouble.empty() ? "connected" : trouble));
}

void Fleet::Measure() {
  std::chrono::seconds period = env_.config->mqtt.telemetry_period;
  if (period.count() == 0)
    return;
  if (agent_->connected()) {
    OnWorker<std::string>(
        [root = env_.config->root, counts = env_.containers->Counts()]() -> Result<std::string> {
          return TelemetryJson(root, counts);
        },
        [this](Result<std::string> json) { agent_->Tell("tel/sys", *std::move(json)); });
  }
  env_.loop->After(period, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired())
      Measure();
  });
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
  env_.loop->Post([this, alive = std::weak_ptr(alive_), from = UnixNanosNow()] {
    if (alive.expired())
      return;
    NoteChange(from);
    agent_->SendEvents();
    agent_->StateChanged();
  });
}

void Fleet::Apply(std::string release, std::string deployment, Answer<> answer) {
  On<void>(
      bringer_,
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

}  // namespace wherry::engine
