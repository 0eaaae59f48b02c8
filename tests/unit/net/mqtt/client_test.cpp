// The client against a peer that follows a script and does what no honest broker would.
#include "net/mqtt/client.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "net/tls/listener.h"
#include "tests/unit/net/mqtt/client_fixture.h"

namespace wherry::mqtt {
namespace {

using namespace std::string_literals;
using std::chrono::seconds;

const std::string kConnack = "\x20\x03\x00\x00\x00"s;
const std::string kConnackSession = "\x20\x03\x01\x00\x00"s;

// Blocking, on a thread of its own; everything has a limit of 10 seconds.
class Peer {
 public:
  explicit Peer(std::function<void(Peer&)> script)
      : listener_(std::move(*tls::ListenTcp("127.0.0.1:0"))) {
    Limit(listener_.get());
    sockaddr_in bound{};
    socklen_t size = sizeof(bound);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    port_ = ntohs(bound.sin_port);
    fcntl(listener_.get(), F_SETFL, 0);
    thread_ = std::thread([this, script = std::move(script)] {
      script(*this);
      finished_ = true;
    });
  }
  ~Peer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  uint16_t port() const { return port_; }
  bool finished() const { return finished_; }

  void Accept() {
    socket_.Reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Limit(socket_.get());
  }
  // One packet; empty at the end of the connection.
  std::string Read() {
    std::string packet = Bytes(2);
    if (packet.size() < 2)
      return {};
    size_t length = static_cast<unsigned char>(packet[1]) & 0x7fu;
    for (unsigned shift = 7; (packet.back() & 0x80) != 0; shift += 7) {
      packet += Bytes(1);
      length |= (static_cast<unsigned char>(packet.back()) & 0x7fu) << shift;
    }
    return packet + Bytes(length);
  }
  void Send(const std::string& bytes) {
    (void)!send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Accepts, reads CONNECT, answers.
  std::string Welcome(const std::string& connack = kConnack) {
    Accept();
    std::string connect = Read();
    Send(connack);
    return connect;
  }
  void Close() { socket_.Reset(); }

 private:
  static void Limit(int fd) {
    timeval limit{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  std::string Bytes(size_t count) {
    std::string bytes(count, 0);
    ssize_t have = count == 0 ? 0 : recv(socket_.get(), bytes.data(), count, MSG_WAITALL);
    bytes.resize(have < 0 ? 0 : static_cast<size_t>(have));
    return bytes;
  }

  UniqueFd listener_;
  UniqueFd socket_;
  uint16_t port_ = 0;
  std::atomic<bool> finished_ = false;
  std::thread thread_;
};

class MqttClient : public ClientTest {
 protected:
  void With(std::function<void(Peer&)> script) {
    peer_.emplace(std::move(script));
    options_.target.port = peer_->port();
    StartClient();
  }
  std::string Name() const { return Cat("127.0.0.1:", peer_->port()); }

  // The error of the first connection when the peer sends `bytes` in the place of CONNACK.
  std::string ErrorAfter(const std::string& bytes) {
    With([bytes](Peer& peer) {
      peer.Welcome(bytes);
      peer.Read();
    });
    RunUntil([&] { return !errors_.empty(); });
    client_->Stop();
    std::string error = errors_.empty() ? "" : errors_.front();
    size_t name = error.find(Name());
    return name == std::string::npos ? error : error.replace(name, Name().size(), "PEER");
  }

  std::optional<Peer> peer_;
};

TEST_F(MqttClient, ConnectsAsItWasTold) {
  std::string connect;
  options_.keep_alive = seconds(60);
  options_.user = "u";
  options_.password = "p";
  options_.will = Will{"w", "gone", 1, true, {}};
  options_.will->properties.Set(Property::kWillDelay, 90);
  With([&](Peer& peer) {
    connect = peer.Welcome();
    peer.Read();
  });
  RunUntil([&] { return connected_ == 1; });
  EXPECT_FALSE(session_present_);
  client_->Stop();
  RunUntil([&] { return peer_->finished(); });
  EXPECT_EQ(connect,
            "\x10\x37\x00\x04MQTT\x05\xec\x00\x3c\x0d\x11\x00\x01\x51\x80\x21\x00\x08\x27\x00\x01"s
            "\x00\x00\x00\x08"s
            "device-1\x05\x18\x00\x00\x00\x5a\x00\x01w\x00\x04"s
            "gone\x00\x01u\x00\x01p"s);
}

TEST_F(MqttClient, FallsBackTo311) {
  std::string second;
  With([&](Peer& peer) {
    peer.Welcome("\x20\x02\x00\x01"s);
    peer.Close();
    second = peer.Welcome("\x20\x02\x00\x00"s);
    peer.Read();
  });
  RunUntil([&] { return connected_ == 1; });
  EXPECT_EQ(client_->version(), Version::k311);
  EXPECT_EQ(second.substr(4, 5), "MQTT\x04");
  EXPECT_TRUE(errors_.empty());
  client_->Stop();
}

TEST_F(MqttClient, ABrokerThatRefusesBothVersionsIsAskedWithBackOff) {
  int connections = 0;
  options_.backoff.first = options_.backoff.most = seconds(30);
  With([&](Peer& peer) {
    for (int i = 0; i < 2; ++i) {
      peer.Welcome("\x20\x02\x00\x01"s);
      ++connections;
      peer.Close();
    }
  });
  RunUntil([&] { return !errors_.empty(); });
  EXPECT_EQ(connections, 2);
  EXPECT_EQ(errors_[0], Name() + " refused the connection: it does not speak this version of MQTT");
}

TEST_F(MqttClient, GarbageEndsTheConnection) {
  EXPECT_EQ(ErrorAfter("HTTP/1.1 400 Bad Request\r\n\r\n" + std::string(100, 'x')),
            "PEER sent a malformed packet: reserved flags");
}
TEST_F(MqttClient, AMessageBeforeConnackEndsTheConnection) {
  EXPECT_EQ(ErrorAfter("\x30\x04\x00\x01"s
                       "a\x00"s),
            "PEER sent a packet against the protocol: no CONNACK at first");
}
TEST_F(MqttClient, ASecondConnackEndsTheConnection) {
  EXPECT_EQ(ErrorAfter(kConnack + kConnack),
            "PEER sent a packet against the protocol: a second CONNACK");
}
TEST_F(MqttClient, AHugePacketEndsTheConnection) {
  EXPECT_EQ(ErrorAfter(kConnack + "\x30\xff\xff\xff\x7f"s),
            "PEER sent a packet of 268435460 bytes, where 65536 are allowed");
}
TEST_F(MqttClient, AnAcknowledgementOfNothingEndsTheConnection) {
  EXPECT_EQ(ErrorAfter(kConnack + "\x40\x02\x00\x01"s),
            "PEER sent a packet against the protocol: an acknowledgement of nothing");
}
TEST_F(MqttClient, AuthIsRefused) {
  EXPECT_EQ(ErrorAfter(kConnack + "\xf0\x00"s),
            "PEER sent a packet against the protocol: AUTH, though no authentication was begun");
}
TEST_F(MqttClient, ARefusalHasItsReason) {
  EXPECT_EQ(ErrorAfter("\x20\x03\x00\x86\x00"s),
            "PEER refused the connection: user name or password are wrong");
}
TEST_F(MqttClient, ADisconnectHasItsReason) {
  EXPECT_EQ(ErrorAfter(kConnack + "\xe0\x01\x8e"s),
            "PEER ended the connection: another client has connected with the same identifier; "
            "give each device its own");
}

TEST_F(MqttClient, APeerThatNeverAnswersIsGivenUp) {
  options_.connect_timeout = seconds(1);
  With([](Peer& peer) {
    peer.Accept();
    peer.Read();
    peer.Read();
  });
  RunUntil([&] { return !errors_.empty(); });
  EXPECT_EQ(errors_[0], Name() + " does not answer; check that it is an MQTT broker");
}

TEST_F(MqttClient, ASplitStreamIsPutTogether) {
  With([](Peer& peer) {
    peer.Accept();
    peer.Read();
    std::string stream = kConnack +
                         "\x30\x06\x00\x01"s
                         "t\x00xy"s +
                         "\x32\x07\x00\x01"s
                         "t\x00\x09\x00z"s;
    for (char c : stream) {
      peer.Send(std::string(1, c));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    peer.Read();
  });
  RunUntil([&] { return messages_.size() == 2; });
  EXPECT_EQ(messages_[0].payload, "xy");
  EXPECT_EQ(messages_[1].payload, "z");
}

TEST_F(MqttClient, UnacknowledgedMessagesAreSentAgain) {
  std::vector<std::string> seen;
  With([&](Peer& peer) {
    peer.Welcome();
    seen.push_back(peer.Read());
    seen.push_back(peer.Read());
    peer.Send("\x40\x02\x00\x02"s);  // the second only
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    peer.Close();
    peer.Welcome(kConnackSession);
    seen.push_back(peer.Read());
    peer.Close();
    peer.Welcome(kConnack);  // the session is lost
    seen.push_back(peer.Read());
    peer.Send("\x40\x02\x00\x01"s);
    peer.Read();
  });
  std::string first;
  std::string second;
  ASSERT_TRUE(client_->Publish("a", "1", {}, Into(first)));
  ASSERT_TRUE(client_->Publish("b", "2", {}, Into(second)));
  RunUntil([&] { return !second.empty(); });
  EXPECT_EQ(first, "");
  RunUntil([&] { return !first.empty(); });
  EXPECT_EQ(first, "ok");
  EXPECT_EQ(second, "ok");
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0],
            "\x32\x07\x00\x01"s
            "a\x00\x01\x00"s
            "1"s);
  EXPECT_EQ(seen[1],
            "\x32\x07\x00\x01"s
            "b\x00\x02\x00"s
            "2"s);
  EXPECT_EQ(seen[2],
            "\x3a\x07\x00\x01"s
            "a\x00\x01\x00"s
            "1"s);
  EXPECT_EQ(seen[3],
            "\x32\x07\x00\x01"s
            "a\x00\x01\x00"s
            "1"s);
}

TEST_F(MqttClient, TheServersReceiveMaximumHolds) {
  std::atomic<int> received = 0;
  With([&](Peer& peer) {
    peer.Welcome("\x20\x06\x00\x00\x03\x21\x00\x02"s);
    std::string first = peer.Read();
    peer.Read();
    received = 2;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    peer.Send("\x40\x02"s + first.substr(5, 2));
    peer.Read();
    received = 3;
    peer.Read();
  });
  std::vector<std::string> results(5);
  for (std::string& result : results)
    ASSERT_TRUE(client_->Publish("t", "x", {}, Into(result)));
  RunUntil([&] { return received == 3; });
  EXPECT_EQ(results[0], "ok");
  EXPECT_EQ(results[1], "");
}

TEST_F(MqttClient, TheServersLimitsAreToldToWhoPublishes) {
  With([&](Peer& peer) {
    peer.Welcome("\x20\x0a\x00\x00\x07\x25\x00\x27\x00\x00\x00\x14"s);
    peer.Read();
    peer.Read();
  });
  std::string large;
  std::string retained;
  ASSERT_TRUE(client_->Publish("t", std::string(100, 'x'), {}, Into(large)));
  ASSERT_TRUE(client_->Publish("t", "x", {.retain = true}, Into(retained)));
  RunUntil([&] { return !large.empty() && !retained.empty(); });
  EXPECT_EQ(large, Cat("the message to t has 108 bytes; ", Name(), " takes 20"));
  EXPECT_EQ(retained, Name() + " does not keep retained messages");
}

TEST_F(MqttClient, SubscriptionsAreMadeAgainWhenTheSessionIsLost) {
  std::vector<std::string> seen;
  With([&](Peer& peer) {
    peer.Welcome();
    std::string subscribe = peer.Read();
    seen.push_back(subscribe);
    peer.Send("\x90\x04"s + subscribe.substr(2, 2) + "\x00\x01"s);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    peer.Close();
    peer.Welcome(kConnackSession);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    peer.Close();  // nothing was sent
    peer.Welcome(kConnack);
    seen.push_back(peer.Read());
  });
  std::string result;
  ASSERT_TRUE(client_->Subscribe("d/#", 1, Into(result)));
  RunUntil([&] { return seen.size() == 2; });
  EXPECT_EQ(result, "ok");
  EXPECT_EQ(seen[0].substr(4),
            "\x00\x00\x03"s
            "d/#\x01"s);
  EXPECT_EQ(seen[1].substr(4),
            "\x00\x00\x03"s
            "d/#\x01"s);
}

TEST_F(MqttClient, WhatIsGivenUpWithoutAConnectionIsUnsubscribedLater) {
  std::string unsubscribe;
  std::string result;
  With([&](Peer& peer) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    peer.Welcome(kConnackSession);
    unsubscribe = peer.Read();
    peer.Send("\xb0\x04"s + unsubscribe.substr(2, 2) + "\x00\x00"s);
    peer.Read();
  });
  ASSERT_TRUE(client_->Subscribe("d/#", 1, Into(result)));
  EXPECT_FALSE(client_->Subscribe("d/#", 1, nullptr)) << "while it is being made";
  ASSERT_TRUE(client_->Unsubscribe("d/#"));
  EXPECT_EQ(result, "the subscription to d/# was given up");
  RunUntil([&] { return connected_ == 1; });
  RunFor(std::chrono::milliseconds(100));
  client_->Stop();
  RunUntil([&] { return peer_->finished(); });
  EXPECT_EQ(unsubscribe,
            "\xa2\x08\x00\x01\x00\x00\x03"s
            "d/#");
  EXPECT_TRUE(errors_.empty()) << last_error();
}

TEST_F(MqttClient, AMessageIsAcknowledgedWhenTheUserSays) {
  std::string puback;
  acknowledge_ = Acknowledge::kLater;
  With([&](Peer& peer) {
    peer.Welcome();
    peer.Send(
        "\x32\x07\x00\x01"s
        "t\x00\x09\x00z"s);
    puback = peer.Read();
    peer.Read();
  });
  RunUntil([&] { return messages_.size() == 1; });
  RunFor(std::chrono::milliseconds(100));
  EXPECT_EQ(puback, "");
  client_->AcknowledgeMessage(tickets_[0] + (1 << 16));  // of another connection
  client_->AcknowledgeMessage(tickets_[0]);
  client_->AcknowledgeMessage(tickets_[0]);  // once only
  client_->Stop();
  RunUntil([&] { return peer_->finished(); });
  EXPECT_EQ(puback, "\x40\x02\x00\x09"s);
}

TEST_F(MqttClient, MoreMessagesThanAllowedEndTheConnection) {
  acknowledge_ = Acknowledge::kLater;
  std::string farewell;
  With([&](Peer& peer) {
    peer.Welcome();
    for (char id = 1; id <= 9; ++id)
      peer.Send(
          "\x32\x07\x00\x01"s
          "t\x00"s +
          id + "\x00z"s);
    farewell = peer.Read();
  });
  RunUntil([&] { return !errors_.empty(); });
  EXPECT_EQ(messages_.size(), 8u);
  RunUntil([&] { return peer_->finished(); });
  EXPECT_EQ(farewell, "\xe0\x02\x82\x00"s);
}

TEST_F(MqttClient, PingsAreSentAndTheirAnswersAwaited) {
  options_.ping_timeout = seconds(1);
  std::vector<std::string> seen;
  With([&](Peer& peer) {
    peer.Welcome("\x20\x06\x00\x00\x03\x13\x00\x01"s);  // server keep alive 1 s
    seen.push_back(peer.Read());
    peer.Send("\xd0\x00"s);
    seen.push_back(peer.Read());
    seen.push_back(peer.Read());  // no answer: the end
  });
  auto begin = std::chrono::steady_clock::now();
  RunUntil([&] { return !errors_.empty(); });
  auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took, std::chrono::milliseconds(2900));
  EXPECT_EQ(errors_[0], Cat("nothing is heard of ", Name(), " any more; check the network"));
  RunUntil([&] { return peer_->finished(); });
  EXPECT_EQ(seen, (std::vector{"\xc0\x00"s, "\xc0\x00"s, ""s}));
}

TEST_F(MqttClient, AnotherServerIsUsedOnceInAnAttempt) {
  int others = 0;
  std::string reference;
  Peer other([&](Peer& peer) {
    peer.Welcome("\x20\x03\x00\x9c\x00"s);  // sends on without saying where
    ++others;
  });
  reference = Cat("127.0.0.1:", other.port());
  std::string connack = "\x00\x9d"s;
  connack += static_cast<char>(reference.size() + 3);
  connack += "\x1c\x00"s + static_cast<char>(reference.size()) + reference;
  std::string packet = "\x20"s + static_cast<char>(connack.size()) + connack;
  With([&](Peer& peer) {
    peer.Welcome(packet);
    peer.Close();
    peer.Welcome();  // the next attempt begins here again
    peer.Read();
  });
  RunUntil([&] { return connected_ == 1; });
  EXPECT_EQ(others, 1);
  ASSERT_EQ(errors_.size(), 1u);
  EXPECT_EQ(errors_[0], reference + " refused the connection: another server is to be used");
}

TEST_F(MqttClient, NothingCanBePublishedThatIsNone) {
  StartClient();
  for (const char* topic : {"", "a/#", "a\xff"})
    EXPECT_FALSE(client_->Publish(topic, "x", {}, nullptr)) << topic;
  EXPECT_FALSE(client_->Publish("t", "x", {.qos = 2}, nullptr));
  EXPECT_FALSE(client_->Publish("t", "x", {.response_topic = "+"}, nullptr));
  EXPECT_FALSE(client_->Publish("t", "x", {.user = {{"a", "\xff"}}}, nullptr));
  EXPECT_FALSE(client_->Subscribe("a#", 1, nullptr));
  EXPECT_FALSE(client_->Unsubscribe("never"));
  auto offline = client_->Publish("t", "x", {.qos = 0}, nullptr);
  ASSERT_FALSE(offline);
  EXPECT_EQ(offline.error().code(), Errc::kUnavailable);
}

TEST_F(MqttClient, AMessageThatExpiresInTheQueueIsToldSo) {
  std::string result;
  With([](Peer& peer) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    peer.Welcome();
    peer.Read();
  });
  ASSERT_TRUE(client_->Publish("t", "x", {.expiry = seconds(1)}, Into(result)));
  RunUntil([&] { return !result.empty(); });
  EXPECT_EQ(result, "the message to t has expired before it could be sent");
}

TEST_F(MqttClient, MayBeStoppedInACallback) {
  With([](Peer& peer) {
    peer.Welcome();
    peer.Send(
        "\x30\x04\x00\x01"s
        "t\x00"s
        "\x30\x04\x00\x01"s
        "t\x00"s);
    peer.Read();
  });
  on_message_ = [&](const Publish&) { client_->Stop(); };
  RunUntil([&] { return peer_->finished(); });
  RunFor(std::chrono::milliseconds(100));
  EXPECT_EQ(messages_.size(), 1u);
  EXPECT_TRUE(errors_.empty());
}

}  // namespace
}  // namespace wherry::mqtt
