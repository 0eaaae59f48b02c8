#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"
#include "net/mqtt/client.h"
#include "net/mqtt/client_link.h"

namespace wherry::mqtt {

namespace {

// Answers that the broker does not take: nothing more is read of it before it does.
constexpr size_t kMostPending = 64 << 10;

Result<> CheckOptions(const std::string& topic, const PublishOptions& options) {
  if (!IsTopicName(topic))
    return Fail(Errc::kInvalid, Cat("'", topic, "' is no topic to publish to"));
  if (options.qos > 1)
    return Fail(Errc::kUnsupported, "QoS 2 is not supported; use 0 or 1");
  if (!options.response_topic.empty() && !IsTopicName(options.response_topic))
    return Fail(Errc::kInvalid, Cat("'", options.response_topic, "' is no topic to answer to"));
  bool fits = IsText(options.content_type) && options.content_type.size() <= kMaxTextBytes &&
              options.correlation_data.size() <= kMaxTextBytes;
  for (const UserProperty& property : options.user) {
    fits &= IsText(property.name) && property.name.size() <= kMaxTextBytes;
    fits &= IsText(property.value) && property.value.size() <= kMaxTextBytes;
  }
  if (!fits)
    return Fail(Errc::kInvalid, Cat("a property of the message to ", topic, " is no text"));
  return {};
}

Publish MakePacket(std::string topic, std::string payload, const PublishOptions& options) {
  Publish packet;
  packet.topic = std::move(topic);
  packet.payload = std::move(payload);
  packet.qos = options.qos;
  packet.retain = options.retain;
  auto set = [&packet](Property property, const std::string& text) {
    if (!text.empty())
      packet.properties.Set(property, text);
  };
  set(Property::kContentType, options.content_type);
  set(Property::kResponseTopic, options.response_topic);
  set(Property::kCorrelationData, options.correlation_data);
  if (options.expiry) {
    packet.properties.Set(Property::kMessageExpiry, static_cast<uint32_t>(std::clamp<int64_t>(
                                                        options.expiry->count(), 1, UINT32_MAX)));
  }
  for (const UserProperty& property : options.user)
    packet.properties.AddUser(property.name, property.value);
  return packet;
}

}  // namespace

void Client::Send(const std::string& packet) {
  if (!link_)
    return;
  last_sent_ = Uptime();
  link_->Write(packet);
  if (link_->pending() > kMostPending)
    link_->PauseReading(true);
}

Result<> Client::Publish(std::string topic, std::string payload, const PublishOptions& options,
                         Done done) {
  TRY(CheckOptions(topic, options));
  mqtt::Publish packet = MakePacket(std::move(topic), std::move(payload), options);
  if (options.qos == 1) {
    TRY(outgoing_.Add(std::move(packet), Uptime(), std::move(done)));
    if (connected())
      SendWaiting();
    return {};
  }
  if (!connected())
    return Fail(Errc::kUnavailable, Cat("there is no connection to ", peer()));
  if (link_->pending() > kMostPending)
    return Fail(Errc::kBusy, Cat(peer(), " does not take messages as fast as they are sent"));
  TRY(CheckLimits(packet));
  Send(Encode(version_, packet));
  if (done)
    done({});
  return {};
}

Result<> Client::CheckLimits(const mqtt::Publish& packet) const {
  if (packet.qos > limits_.qos)
    return Fail(Errc::kUnsupported, Cat(peer(), " does not support QoS 1"));  // 3.2.2-11
  if (packet.retain && !limits_.retain)
    return Fail(Errc::kUnsupported, Cat(peer(), " does not keep retained messages"));  // 3.2.2-14
  size_t size = Encode(version_, packet).size();
  if (size > limits_.packet_bytes) {  // 3.2.2-15
    return Fail(Errc::kNoSpace, Cat("the message to ", packet.topic, " has ", size, " bytes; ",
                                    peer(), " takes ", limits_.packet_bytes));
  }
  return {};
}

uint16_t Client::NextId() {
  auto used = [this](uint16_t id) {
    return id == 0 || outgoing_.uses(id) || unsubscribing_.contains(id) ||
           std::any_of(subscriptions_.begin(), subscriptions_.end(),
                       [id](const auto& entry) { return entry.second.id == id; });
  };
  do {
    ++last_id_;
  } while (used(last_id_));
  return last_id_;
}

void Client::SendWaiting() {
  std::chrono::nanoseconds now = Uptime();
  uint64_t generation = generation_;
  while (auto expired = outgoing_.TakeExpired(now)) {
    if (expired->done) {
      expired->done(Fail(Errc::kTimeout, Cat("the message to ", expired->packet.topic,
                                             " has expired before it could be sent")));
    }
  }
  while (generation == generation_ && connected()) {
    Outgoing::Item* item = outgoing_.Next(limits_.window);
    if (item == nullptr)
      return;
    item->in_flight = true;
    if (item->packet.id == 0)
      item->packet.id = NextId();
    if (auto fits = CheckLimits(item->packet); !fits) {
      auto refused = outgoing_.Take(item->packet.id);
      if (refused && refused->done)
        refused->done(std::move(fits));
      continue;
    }
    // Again, within the session the broker remembers: 3.3.1-1.
    item->packet.dup = std::exchange(item->sent_before, true);
    if (item->expires.count() != 0) {
      auto left = std::chrono::ceil<std::chrono::seconds>(item->expires - now).count();
      item->packet.properties.Set(Property::kMessageExpiry,
                                  static_cast<uint32_t>(std::max<int64_t>(left, 1)));
    }
    Send(Encode(version_, item->packet));
  }
}

Result<> Client::Subscribe(const std::string& filter, uint8_t qos, Done done) {
  if (!IsTopicFilter(filter))
    return Fail(Errc::kInvalid, Cat("'", filter, "' is no topic filter"));
  if (qos > 1)
    return Fail(Errc::kUnsupported, "QoS 2 is not supported; use 0 or 1");
  Subscription& subscription = subscriptions_[filter];
  if (subscription.done || subscription.id != 0)
    return Fail(Errc::kBusy, Cat("the subscription to ", filter, " is being made already"));
  subscription.qos = qos;
  subscription.acknowledged = false;
  subscription.done = std::move(done);
  if (connected())
    SendSubscribe(filter, subscription);
  return {};
}

Result<> Client::Unsubscribe(const std::string& filter) {
  auto found = subscriptions_.find(filter);
  if (found == subscriptions_.end())
    return Fail(Errc::kNotFound, Cat("there is no subscription to ", filter));
  Done done = std::move(found->second.done);
  subscriptions_.erase(found);
  if (connected())
    SendUnsubscribe(filter);
  else
    unsubscribe_later_.insert(filter);
  if (done)
    done(Fail(Errc::kCancelled, Cat("the subscription to ", filter, " was given up")));
  return {};
}

void Client::SendUnsubscribe(const std::string& filter) {
  uint16_t id = NextId();
  unsubscribing_[id] = filter;
  Send(Encode(version_, mqtt::Unsubscribe{id, filter}));
}

void Client::SendSubscribe(const std::string& filter, Subscription& subscription) {
  subscription.id = NextId();
  Send(Encode(version_, mqtt::Subscribe{subscription.id, filter, subscription.qos}));
}

void Client::SendSubscriptions() {
  for (const std::string& filter : std::exchange(unsubscribe_later_, {})) {
    if (!subscriptions_.contains(filter))
      SendUnsubscribe(filter);
  }
  for (auto& [filter, subscription] : subscriptions_) {
    if (!subscription.acknowledged)
      SendSubscribe(filter, subscription);
  }
}

}  // namespace wherry::mqtt
