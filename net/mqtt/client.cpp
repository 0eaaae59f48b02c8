#include "net/mqtt/client.h"

#include <sys/random.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"
#include "net/mqtt/client_link.h"

namespace wherry::mqtt {

namespace {

uint32_t Random() {
  uint32_t value = 0;
  [[maybe_unused]] ssize_t size = getrandom(&value, sizeof(value), 0);
  return value;
}

}  // namespace

Client::Client(Loop* loop, ClientOptions options, ClientUser* user)
    : loop_(loop),
      options_(std::move(options)),
      user_(user),
      alive_(std::make_shared<char>()),
      outgoing_(options_.outgoing) {}

Client::~Client() {
  loop_->Cancel(timer_);
  if (link_)
    link_->Detach();
}

void Client::Start() {
  if (state_ == State::kStopped)
    Reconnect();
}

void Client::Stop() {
  if (state_ == State::kConnected)
    Send(Encode(version_, Disconnect{}));
  DropLink();
  state_ = State::kStopped;
}

std::string Client::peer() const {
  return redirect_ ? redirect_->name() : options_.target.name();
}

// One timer for all: the next attempt, the end of this one, or the keep-alive.
void Client::SetTimer(std::chrono::nanoseconds delay, void (Client::*action)()) {
  loop_->Cancel(timer_);
  timer_ = loop_->After(delay, [this, action] {
    timer_ = 0;
    (this->*action)();
  });
}

// An attempt of its own: it may fall back to 3.1.1 and be sent to another server, once each.
void Client::Reconnect() {
  fell_back_ = false;
  redirected_ = false;
  redirect_.reset();
  Connect();
}

void Client::Connect() {
  state_ = State::kDialing;
  SetTimer(options_.connect_timeout, &Client::OnConnectTimeout);
  dialer_ = std::make_unique<tls::Dialer>(
      loop_, redirect_ ? *redirect_ : options_.target, options_.connect_timeout,
      [this](Result<std::unique_ptr<tls::Channel>> channel) { OnDialed(std::move(channel)); });
}

void Client::OnDialed(Result<std::unique_ptr<tls::Channel>> channel) {
  dialer_.reset();
  if (!channel)
    return Failed(channel.error());
  state_ = State::kConnecting;
  link_ = std::make_shared<Link>(this, std::move(*channel), peer());
  if (auto started = link_->Start(); !started)
    Failed(started.error());
}

std::string Client::ConnectPacket() const {
  mqtt::Connect packet;
  packet.keep_alive =
      static_cast<uint16_t>(std::clamp<int64_t>(options_.keep_alive.count(), 0, UINT16_MAX));
  packet.client_id = options_.client_id;
  packet.user = options_.user;
  packet.password = options_.password;
  packet.will = options_.will;
  auto expiry =
      static_cast<uint32_t>(std::clamp<int64_t>(options_.session_expiry.count(), 0, UINT32_MAX));
  packet.properties.Set(Property::kSessionExpiry, expiry);
  packet.properties.Set(Property::kReceiveMaximum, options_.receive_maximum);
  packet.properties.Set(Property::kMaximumPacketSize,
                        static_cast<uint32_t>(options_.max_packet_bytes));
  return Encode(version_, packet);
}

void Client::OnLinkConnected() {
  last_sent_ = last_received_ = Uptime();
  link_->Write(ConnectPacket());
}

void Client::OnLinkEnd(const Error& error) {
  if (state_ != State::kConnecting)
    return Failed(error);
  Failed(Error(error.code(), Cat("no connection: ", error.message())));
}

void Client::OnConnectTimeout() {
  Failed(Error(Errc::kTimeout,
               Cat(peer(), state_ == State::kDialing
                               ? " is not reached in time; check the network and the address"
                               : " does not answer; check that it is an MQTT broker")));
}

void Client::DropLink() {
  loop_->Cancel(std::exchange(timer_, 0));
  dialer_.reset();
  ++generation_;
  unacknowledged_.clear();
  for (auto& [id, filter] : unsubscribing_)
    unsubscribe_later_.insert(std::move(filter));
  unsubscribing_.clear();
  outgoing_.ConnectionLost();
  for (auto& [filter, subscription] : subscriptions_)
    subscription.id = 0;
  if (!link_)
    return;
  link_->Detach();
  // It may be in the middle of a call.
  retired_.push_back(std::move(link_));
  loop_->Post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired())
      retired_.clear();
  });
}

void Client::Failed(const Error& error) {
  if (state_ == State::kStopped)
    return;
  bool stable = state_ == State::kConnected && Uptime() - connected_at_ >= options_.stable_after;
  DropLink();
  failures_ = stable ? 1 : failures_ + 1;
  state_ = State::kWaiting;
  std::chrono::milliseconds delay = Backoff(options_.backoff, failures_, Random());
  SetTimer(delay, &Client::Reconnect);
  user_->OnDisconnected(error, delay);
}

// Due when nothing has gone one of the ways for the interval: what is sent alone does not show that
// the broker is still there.
void Client::OnKeepAlive() {
  std::chrono::nanoseconds now = Uptime();
  std::chrono::nanoseconds due = std::min(last_sent_, last_received_) + keep_alive_;
  if (due > now)
    return SetTimer(due - now, &Client::OnKeepAlive);
  ping_sent_ = true;
  Send(EncodePingreq());
  SetTimer(options_.ping_timeout, &Client::OnPingTimeout);
}

void Client::OnPingTimeout() {
  Failed(
      Error(Errc::kTimeout, Cat("nothing is heard of ", peer(), " any more; check the network")));
}

}  // namespace wherry::mqtt
