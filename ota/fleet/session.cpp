#include "ota/fleet/session.h"

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::ota {

FleetSession::FleetSession(Loop* loop, Options options, Handlers handlers)
    : tenant_(std::move(options.tenant)),
      group_(std::move(options.group)),
      name_(options.client.client_id),
      handlers_(std::move(handlers)),
      client_(loop, std::move(options.client), this) {}

std::string FleetSession::Topic(std::string_view rest) const {
  return Cat("wherry/1/", tenant_, "/", rest);
}

void FleetSession::Subscribe(const std::string& filter) {
  auto refused = [this](const Result<>& result) {
    if (!result)
      handlers_.lost(result.error());
  };
  if (auto begun = client_.Subscribe(filter, 1, refused); !begun)
    handlers_.lost(begun.error());
}

void FleetSession::Start() {
  // The broker answers in this order: what comes on the last one comes after all that is retained.
  for (std::string_view filter : {"+/conn", "+/reported", "+/dep/+"})
    Subscribe(Topic(filter));
  if (!group_.empty()) {
    Subscribe(desired_topic());
    Subscribe(rollout_topic());
  }
  Subscribe(Topic(Cat("+/res/", name_)));
  Subscribe(Topic(Cat("fleet/sync/", name_)));
  client_.Start();
}

void FleetSession::OnConnected(bool /*session_present*/) {
  synced_ = false;
  token_ = RandomId();
  (void)client_.Publish(Topic(Cat("fleet/sync/", name_)), token_, {},
                        [this](const Result<>& result) {
                          if (!result)
                            handlers_.lost(result.error());
                        });
}

void FleetSession::OnDisconnected(const Error& error, std::chrono::milliseconds /*retry_in*/) {
  synced_ = false;
  handlers_.lost(error);
}

mqtt::Acknowledge FleetSession::OnMessage(const mqtt::Publish& message, uint64_t /*ticket*/) {
  std::string_view topic = message.topic;
  topic.remove_prefix(std::min(topic.size(), Topic("").size()));
  if (topic == Cat("fleet/sync/", name_)) {
    if (message.payload == token_) {
      synced_ = true;
      handlers_.synced();
    }
    return mqtt::Acknowledge::kNow;
  }
  bool changed = true;
  if (message.topic == desired_topic()) {
    desired_ = message.payload;
  } else if (message.topic == rollout_topic()) {
    rollout_ = message.payload;
  } else if (topic.ends_with(Cat("/res/", name_))) {
    if (answered)
      answered(topic.substr(0, topic.find('/')), message.payload);
  } else {
    ++messages_;
    bytes_ += message.payload.size();
    Result<bool> taken = view_.Take(topic, message.payload, Uptime());
    if (!taken)
      LogWarning("fleet: ", taken.error().message(), ", ignored");
    changed = taken.value_or(false);
  }
  if (changed && synced_)
    handlers_.changed();
  return mqtt::Acknowledge::kNow;
}

Result<> FleetSession::Publish(const std::string& topic, std::string payload, bool retain,
                               mqtt::Done done) {
  return client_.Publish(topic, std::move(payload), {.retain = retain}, std::move(done));
}

Result<> FleetSession::Request(const std::string& device, std::string_view method,
                               std::string payload) {
  constexpr std::chrono::seconds kExpiry{60};
  mqtt::PublishOptions options{.expiry = kExpiry};
  options.response_topic = Topic(Cat(device, "/res/", name_));
  options.correlation_data = Cat(name_, "-", ++requests_);
  return client_.Publish(Topic(Cat(device, "/req/", method)), std::move(payload), options,
                         [](const Result<>&) {});
}

}  // namespace wherry::ota
