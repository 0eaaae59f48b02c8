#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"
#include "net/mqtt/client.h"
#include "net/mqtt/client_link.h"
#include "net/mqtt/reason.h"
#include "net/mqtt/server_reference.h"

namespace wherry::mqtt {

namespace {

constexpr uint8_t kUnsupportedVersion = 0x84;
constexpr uint8_t kUseAnotherServer = 0x9c;
constexpr uint8_t kServerMoved = 0x9d;
// 3.1.1 knows no limit of its own for what a server sends before it is acknowledged.
constexpr size_t kReceiveMaximum311 = 64;
// A broker that wants to see less of us: the wait is between 0 and 32 s at least.
constexpr uint8_t kGoAway[] = {0x89, 0x8a, 0x96, 0x97, 0x9f};
constexpr unsigned kGoAwayFailures = 5;

bool GoAway(uint8_t reason) {
  return std::find(std::begin(kGoAway), std::end(kGoAway), reason) != std::end(kGoAway);
}

}  // namespace

Result<> Client::OnPacket(uint8_t first, std::string_view body) {
  last_received_ = Uptime();
  Received packet = TRY(Decode(version_, first, body));
  bool connack = std::holds_alternative<Connack>(packet);
  bool farewell = std::holds_alternative<Disconnect>(packet);
  // 3.2: the first packet is CONNACK, and there is only one; 4.13.2 allows DISCONNECT at any time.
  if (connack != (state_ == State::kConnecting) && !farewell)
    return ProtocolError(connack ? "a second CONNACK" : "no CONNACK at first");
  return std::visit([this](const auto& known) { return Handle(known); }, packet);
}

void Client::OnBadPacket(const Error& error) {
  if (version_ == Version::k5 && state_ == State::kConnected)
    Send(Encode(version_, Disconnect{ReasonFor(error), {}}));
  Failed(Error(error.code(), Cat(peer(), " sent ", error.message())));
}

void Client::TakeLimits(const Properties& properties) {
  uint32_t ours = options_.receive_maximum;
  limits_.window = std::min(ours, properties.number(Property::kReceiveMaximum).value_or(ours));
  limits_.packet_bytes = properties.number(Property::kMaximumPacketSize).value_or(UINT32_MAX);
  limits_.qos = static_cast<uint8_t>(properties.number(Property::kMaximumQos).value_or(1));
  limits_.retain = properties.number(Property::kRetainAvailable).value_or(1) != 0;
  keep_alive_ = options_.keep_alive;
  if (auto seconds = properties.number(Property::kServerKeepAlive))
    keep_alive_ = std::chrono::seconds(*seconds);  // 3.2.2-21
}

Result<> Client::Handle(const Connack& packet) {
  if (packet.reason != 0) {
    Refused(packet);
    return {};
  }
  state_ = State::kConnected;
  connected_at_ = Uptime();
  ping_sent_ = false;
  TakeLimits(packet.properties);
  if (!packet.session_present) {
    outgoing_.SessionLost();
    for (auto& [filter, subscription] : subscriptions_)
      subscription.acknowledged = false;
    unsubscribe_later_.clear();
  }
  if (keep_alive_.count() > 0)
    SetTimer(keep_alive_, &Client::OnKeepAlive);
  else
    loop_->Cancel(std::exchange(timer_, 0));
  SendSubscriptions();
  SendWaiting();
  if (connected())
    user_->OnConnected(packet.session_present);
  return {};
}

void Client::Refused(const Connack& packet) {
  bool version = packet.reason == kUnsupportedVersion;
  if (version && version_ == Version::k5 && !fell_back_) {
    fell_back_ = true;
    version_ = Version::k311;
    DropLink();
    return Connect();
  }
  if (version)
    version_ = Version::k5;
  if (Redirect(packet.reason, packet.properties))
    return;
  if (GoAway(packet.reason))
    failures_ = std::max(failures_, kGoAwayFailures);
  Failed(ReasonError(Cat(peer(), " refused the connection"), packet.reason,
                     packet.properties.text(Property::kReasonString)));
}

// 4.13. The other server must prove itself by the same certificates as the configured one; the next
// attempt begins with the configured one again.
bool Client::Redirect(uint8_t reason, const Properties& properties) {
  if ((reason != kUseAnotherServer && reason != kServerMoved) || redirected_)
    return false;
  auto reference =
      ParseServerReference(properties.text(Property::kServerReference), options_.target.port);
  if (!reference)
    return false;
  redirected_ = true;
  redirect_ = tls::Target{reference->host, reference->port, options_.target.tls};
  DropLink();
  Connect();
  return true;
}

Result<> Client::Handle(const mqtt::Publish& packet) {
  uint64_t ticket = generation_ << 16 | packet.id;
  if (packet.qos == 0) {
    (void)user_->OnMessage(packet, 0);
    return {};
  }
  if (unacknowledged_.contains(packet.id)) {
    if (version_ == Version::k311)
      return {};  // sent again by an impatient broker, 3.1.1 section 4.4
    return ProtocolError("a packet identifier that is in use");  // 2.2.1-4
  }
  size_t most = version_ == Version::k5 ? options_.receive_maximum : kReceiveMaximum311;
  if (unacknowledged_.size() >= most)
    return ProtocolError("more messages at once than are allowed");  // 3.3.4-9
  unacknowledged_.insert(packet.id);
  if (user_->OnMessage(packet, ticket) == Acknowledge::kNow)
    AcknowledgeMessage(ticket);
  return {};
}

void Client::AcknowledgeMessage(uint64_t ticket) {
  auto id = static_cast<uint16_t>(ticket);
  if (ticket >> 16 != generation_ || unacknowledged_.erase(id) == 0)
    return;
  Send(Encode(version_, Puback{id, 0, {}}));
}

Result<> Client::Handle(const Puback& packet) {
  auto item = outgoing_.Take(packet.id);
  if (!item)
    return ProtocolError("an acknowledgement of nothing");
  SendWaiting();
  if (!item->done)
    return {};
  if (IsFailure(packet.reason)) {
    item->done(std::unexpected(
        ReasonError(Cat(peer(), " refused the message to ", item->packet.topic), packet.reason,
                    packet.properties.text(Property::kReasonString))));
  } else {
    item->done({});
  }
  return {};
}

Result<> Client::Handle(const Suback& packet) {
  if (packet.unsubscribe) {
    if (unsubscribing_.erase(packet.id) == 0)
      return ProtocolError("an acknowledgement of nothing");
    return {};
  }
  auto found = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                            [&](const auto& entry) { return entry.second.id == packet.id; });
  if (found == subscriptions_.end()) {
    // Of a subscription that was given up meanwhile.
    if (unsubscribing_.empty())
      return ProtocolError("an acknowledgement of nothing");
    return {};
  }
  found->second.id = 0;
  Done done = std::move(found->second.done);
  found->second.done = nullptr;
  uint8_t reason = packet.reasons.front();
  Result<> result;
  if (IsFailure(reason)) {
    result = std::unexpected(ReasonError(Cat(peer(), " refused the subscription to ", found->first),
                                         reason, packet.properties.text(Property::kReasonString)));
    subscriptions_.erase(found);
  } else {
    found->second.acknowledged = true;
  }
  if (done)
    done(std::move(result));
  return {};
}

Result<> Client::Handle(const Pingresp&) {
  if (ping_sent_) {
    ping_sent_ = false;
    SetTimer(keep_alive_, &Client::OnKeepAlive);
  }
  return {};
}

Result<> Client::Handle(const Disconnect& packet) {
  if (Redirect(packet.reason, packet.properties))
    return {};
  if (GoAway(packet.reason))
    failures_ = std::max(failures_, kGoAwayFailures);
  Failed(ReasonError(Cat(peer(), " ended the connection"), packet.reason,
                     packet.properties.text(Property::kReasonString)));
  return {};
}

}  // namespace wherry::mqtt
