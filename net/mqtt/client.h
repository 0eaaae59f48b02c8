// An MQTT client on the event loop: MQTT 5.0, and 3.1.1 for brokers that know no other; QoS 0 and
// 1. It keeps a connection, with back-off between attempts, and a session (Clean Start 0): what was
// published with QoS 1 and not acknowledged is sent again, subscriptions are made again when the
// broker has lost them. One timer; when nothing happens it fires once a keep-alive interval. Memory
// is bounded: packets by `max_packet_bytes`, publications by `outgoing`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/loop.h"
#include "net/mqtt/backoff.h"
#include "net/mqtt/framer.h"
#include "net/mqtt/outgoing.h"
#include "net/mqtt/packet.h"
#include "net/tls/dialer.h"
#include "net/tls/stream.h"

namespace wherry::mqtt {

struct ClientOptions {
  tls::Target target;
  std::string client_id;
  std::optional<std::string> user;
  std::optional<std::string> password;
  std::optional<Will> will;
  std::chrono::seconds keep_alive{300};  // the server's own counts when it names one
  std::chrono::seconds session_expiry{86'400};
  std::chrono::seconds connect_timeout{30};  // to the broker's answer to CONNECT
  std::chrono::seconds ping_timeout{30};
  std::chrono::seconds stable_after{30};  // a connection of this age forgets earlier failures
  BackoffRange backoff;
  uint16_t receive_maximum = 8;  // of both sides
  size_t max_packet_bytes = 64 << 10;
  Outgoing::Limits outgoing;
};

struct PublishOptions {
  uint8_t qos = 1;  // 0 or 1
  bool retain = false;
  std::optional<std::chrono::seconds> expiry =
      {};  // not delivered later than this; also in the queue
  std::string content_type = {};
  std::string response_topic = {};
  std::string correlation_data = {};
  std::vector<UserProperty> user = {};
};

enum class Acknowledge : uint8_t { kNow, kLater };

// Called from the loop. May call the client, but not destroy it.
class ClientUser {
 public:
  virtual ~ClientUser() = default;
  virtual void OnConnected(bool session_present) = 0;
  // Also when an attempt failed. One sentence; the next attempt comes after `retry_in`.
  virtual void OnDisconnected(const Error& error, std::chrono::milliseconds retry_in) = 0;
  // A message of QoS 1 is acknowledged when this returns kNow, or by Client::Acknowledge(ticket);
  // until then the broker sends it again after a lost connection. Of QoS 0: the answer is ignored.
  virtual Acknowledge OnMessage(const Publish& message, uint64_t ticket) = 0;
};

class Client {
 public:
  // `user` outlives the client. Nothing happens before Start.
  Client(Loop* loop, ClientOptions options, ClientUser* user);
  // Cuts the connection: the broker publishes the will. No callback is called any more.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Start();
  // Says farewell, so that the broker forgets the will; the session stays. No more attempts.
  void Stop();
  bool connected() const { return state_ == State::kConnected; }
  // Of the connection, or the next one. 3.1.1 knows no properties.
  Version version() const { return version_; }

  // With QoS 1 `done` is called once: when the broker has acknowledged it, or with why it never
  // will (refused, expired, too large). With QoS 0 when it was written. An error returned here
  // means that `done` is not called: kInvalid for a bad topic or option, kBusy when too much waits,
  // kUnavailable for QoS 0 without a connection.
  Result<> Publish(std::string topic, std::string payload, const PublishOptions& options,
                   Done done);
  // Of a filter; kept over reconnects until it is refused or Unsubscribe. `done` is called once,
  // with the broker's answer, or kCancelled by Unsubscribe. kInvalid for a bad filter, kBusy while
  // the same is being subscribed to.
  Result<> Subscribe(const std::string& filter, uint8_t qos, Done done);
  Result<> Unsubscribe(const std::string& filter);
  // Of a message whose callback returned kLater. One of an earlier connection is ignored: it comes
  // again.
  void AcknowledgeMessage(uint64_t ticket);

 private:
  enum class State : uint8_t { kStopped, kWaiting, kDialing, kConnecting, kConnected };
  class Link;
  friend class Link;
  struct Subscription {
    uint8_t qos = 1;
    bool acknowledged = false;
    uint16_t id = 0;  // of the SUBSCRIBE that is not answered; 0: none
    Done done;
  };
  struct ServerLimits {  // 3.2.2.3
    size_t window = 8;
    size_t packet_bytes = SIZE_MAX;
    uint8_t qos = 1;
    bool retain = true;
  };

  // client.cpp: the connection
  void Connect();
  void OnDialed(Result<std::unique_ptr<tls::Channel>> channel);
  void OnLinkConnected();
  void OnLinkEnd(const Error& error);
  void Failed(const Error& error);
  void Reconnect();
  void DropLink();
  void SetTimer(std::chrono::nanoseconds delay, void (Client::*action)());
  void OnKeepAlive();
  void OnPingTimeout();
  void OnConnectTimeout();
  std::string ConnectPacket() const;
  std::string peer() const;

  // client_receive.cpp
  Result<> OnPacket(uint8_t first, std::string_view body);
  void OnBadPacket(const Error& error);
  Result<> Handle(const Connack& packet);
  Result<> Handle(const mqtt::Publish& packet);
  Result<> Handle(const Puback& packet);
  Result<> Handle(const Suback& packet);
  Result<> Handle(const Pingresp& packet);
  Result<> Handle(const Disconnect& packet);
  void Refused(const Connack& packet);
  bool Redirect(uint8_t reason, const Properties& properties);
  void TakeLimits(const Properties& properties);

  // client_publish.cpp
  void Send(const std::string& packet);
  void SendWaiting();
  void SendSubscriptions();
  void SendSubscribe(const std::string& filter, Subscription& subscription);
  void SendUnsubscribe(const std::string& filter);
  Result<> CheckLimits(const mqtt::Publish& packet) const;
  uint16_t NextId();

  Loop* loop_;
  ClientOptions options_;
  ClientUser* user_;
  State state_ = State::kStopped;
  Version version_ = Version::k5;
  bool fell_back_ = false;  // in this attempt
  std::optional<tls::Target> redirect_;
  bool redirected_ = false;  // in this attempt
  unsigned failures_ = 0;
  std::unique_ptr<tls::Dialer> dialer_;
  std::shared_ptr<Link> link_;
  std::vector<std::shared_ptr<Link>> retired_;  // ended inside one of their own calls
  std::shared_ptr<char> alive_;
  Loop::TimerId timer_ = 0;
  uint64_t generation_ = 0;  // of the connection
  std::chrono::nanoseconds connected_at_{};
  std::chrono::nanoseconds last_sent_{};
  std::chrono::nanoseconds last_received_{};
  std::chrono::seconds keep_alive_{};
  bool ping_sent_ = false;
  ServerLimits limits_;
  Outgoing outgoing_;
  std::map<std::string, Subscription> subscriptions_;
  std::set<uint16_t> unacknowledged_;              // messages that the user acknowledges later
  std::map<uint16_t, std::string> unsubscribing_;  // not answered yet
  std::set<std::string> unsubscribe_later_;        // what the broker's session may still have
  uint16_t last_id_ = 0;
};

}  // namespace wherry::mqtt
