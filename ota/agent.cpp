#include "ota/agent.h"

#include "core/base/log.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr std::chrono::seconds kEventExpiry = std::chrono::hours(24 * 7);
constexpr uint8_t kReliably = 1;

}  // namespace

mqtt::ClientOptions Agent::Complete(const AgentOptions& options) {
  mqtt::ClientOptions client = options.client;
  client.client_id = options.device;
  mqtt::Will will;
  will.topic = Cat("wherry/1/", options.tenant, "/", options.device, "/conn");
  will.payload = R"({"s":0})";
  will.qos = kReliably;
  will.retain = true;
  will.properties.Set(mqtt::Property::kWillDelay,
                      static_cast<uint32_t>(options.will_delay.count()));
  client.will = std::move(will);
  return client;
}

Agent::Agent(const Environment& environment, AgentOptions options)
    : env_(environment),
      options_(std::make_shared<const AgentOptions>(std::move(options))),
      client_(env_.loop, Complete(*options_), this),
      marks_(std::make_shared<WantedMarks>(options_->marks)) {}

Agent::~Agent() {
  if (report_timer_ != 0)
    env_.loop->Cancel(report_timer_);
}

std::string Agent::Topic(std::string_view rest) const {
  return Cat("wherry/1/", options_->tenant, "/", options_->device, "/", rest);
}

void Agent::Start() {
  auto answered = [](std::string_view what) {
    return [what = std::string(what)](const Result<>& result) {
      if (!result)
        LogWarning("fleet: ", what, " is refused: ", result.error().message());
    };
  };
  std::vector<std::string> filters = {Topic("desired"), Topic("req/+")};
  for (const std::string& group : options_->groups)
    filters.push_back(Cat("wherry/1/", options_->tenant, "/g/", group, "/desired"));
  for (const std::string& filter : filters) {
    if (auto subscribed = client_.Subscribe(filter, kReliably, answered(filter)); !subscribed)
      LogWarning("fleet: ", subscribed.error().message());
  }
  client_.Start();
}

void Agent::OnConnected(bool /*session_present*/) {
  trouble_.clear();
  env_.host->OnConnection(trouble_);
  JsonWriter birth;
  birth.Object().Field("s", 1).Field("boot", options_->boot).Field("eng", options_->version).End();
  mqtt::PublishOptions options{.retain = true};
  (void)client_.Publish(Topic("conn"), birth.Take(), options, [](const Result<>&) {});
  SendEvents();
  reported_.clear();
  StateChanged();
}

void Agent::OnDisconnected(const Error& error, std::chrono::milliseconds /*retry_in*/) {
  if (trouble_ != error.message())
    LogWarning("fleet: ", error.message());
  trouble_ = error.message();
  env_.host->OnConnection(trouble_);
}

mqtt::Acknowledge Agent::OnMessage(const mqtt::Publish& message, uint64_t ticket) {
  if (message.topic.ends_with("/desired")) {
    OnDesired(message, ticket);
    return mqtt::Acknowledge::kLater;
  }
  OnRequest(message);
  return mqtt::Acknowledge::kNow;
}

// --- The state

// The first change is told at once, the next ones together after a while.
void Agent::StateChanged() {
  for (auto& [topic, wanted] : wanted_)
    Evaluate(topic);
  ReportSoon();
}

void Agent::ReportSoon() {
  report_due_ = true;
  if (report_timer_ == 0)
    ReportState();
}

void Agent::Tell(std::string_view rest, std::string payload) {
  mqtt::PublishOptions options{.qos = 0};
  if (connected())
    (void)client_.Publish(Topic(rest), std::move(payload), options, [](const Result<>&) {});
}

void Agent::ReportState() {
  report_due_ = false;
  env_.host->State([this, alive = std::weak_ptr(alive_)](Result<std::string> state) {
    if (alive.expired() || !state || !connected() || *state == reported_)
      return;
    JsonWriter groups;
    groups.Strings(options_->groups);
    std::string payload = *state;
    payload.insert(
        1, Cat("\"v\":1,\"boot\":\"", options_->boot, "\",\"groups\":", groups.text(), ","));
    mqtt::PublishOptions options{.retain = true};
    // What the client has no room for now is told after the period.
    if (client_.Publish(Topic("reported"), std::move(payload), options, [](const Result<>&) {}))
      reported_ = *std::move(state);
    else
      report_due_ = true;
  });
  report_timer_ = env_.loop->After(options_->report_period, [this] {
    report_timer_ = 0;
    if (report_due_)
      ReportState();
  });
}

// --- Events

// What the client has no room for comes when something was told.
void Agent::SendEvents() {
  if (!connected())
    return;
  for (const OutboxEvent& event : env_.outbox->After(sent_)) {
    mqtt::PublishOptions options{.expiry = kEventExpiry};
    auto given = client_.Publish(
        Topic(event.topic), event.payload, options,
        [this, number = event.number](const Result<>& result) { Told(number, result); });
    if (!given)
      return;
    sent_ = event.number;
  }
}

void Agent::Told(uint64_t number, const Result<>& result) {
  // What the broker will never take would be in the way of the next one for ever.
  if (!result)
    LogWarning("fleet: an event is refused: ", result.error().message());
  OnWorker<Result<>>([outbox = env_.outbox, number] { return outbox->Remove(number); },
                     [this](const Result<>& removed) {
                       if (!removed)
                         LogWarning("fleet: ", removed.error().message());
                       SendEvents();
                     });
}

}  // namespace wherry::ota
