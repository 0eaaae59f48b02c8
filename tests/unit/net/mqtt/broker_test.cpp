// The client with mosquitto, the broker of Debian: mutual TLS, access rules, persistence.
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "net/mqtt/client.h"
#include "net/tls/listener.h"
#include "tests/unit/net/mqtt/client_fixture.h"
#include "tests/unit/net/tls/authority.h"

namespace wherry::mqtt {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const char* Mosquitto() {
  for (const char* path :
       {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"}) {
    if (access(path, X_OK) == 0)
      return path;
  }
  return nullptr;
}

// A client of its own, to look at the other side.
class Other : public ClientUser {
 public:
  Other(Loop* loop, const ClientOptions& options) : client(loop, options, this) { client.Start(); }
  void OnConnected(bool) override {}
  void OnDisconnected(const Error& error, milliseconds) override { last_error = error.message(); }
  Acknowledge OnMessage(const Publish& message, uint64_t) override {
    messages.push_back(message);
    return Acknowledge::kNow;
  }

  std::vector<Publish> messages;
  std::string last_error;
  Client client;
};

class MqttBroker : public ClientTest {
 protected:
  void SetUp() override {
    if (Mosquitto() == nullptr)
      GTEST_SKIP() << "mosquitto is not installed";
    ClientTest::SetUp();
    ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
    FreePort();
    server_ = authority_.Issue("localhost", 30, ",IP:127.0.0.1");
    device_ = authority_.Issue("device-1");
    Write("acl",
          "user device-1\ntopic write up/#\ntopic read down/#\n\n"
          "user operator\ntopic readwrite #\n");
    options_.target.port = port_;
    options_.target.tls = Trusting(authority_.trust(), device_);
  }
  void TearDown() override {
    ClientTest::TearDown();
    StopBroker(SIGKILL);
  }

  void FreePort() {
    auto listener = tls::ListenTcp("127.0.0.1:0");
    sockaddr_in bound{};
    socklen_t size = sizeof(bound);
    getsockname(listener->get(), reinterpret_cast<sockaddr*>(&bound), &size);
    port_ = ntohs(bound.sin_port);
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(directory_ / name, text, 0644, Durability::kVolatile));
  }

  static std::shared_ptr<const tls::Config> Trusting(tls::TlsTrust trust,
                                                     const tls::IdentityFiles& files) {
    trust.config_section = "[mqtt]";
    auto config = tls::Config::Client(std::move(trust), files);
    EXPECT_TRUE(config) << config.error().message();
    return config ? std::move(*config) : nullptr;
  }

  void StartBroker(const std::string& more = "") {
    Write("conf",
          Cat("listener ", port_, " 127.0.0.1\ncafile ", authority_.ca(), "\ncertfile ",
              server_.certificate, "\nkeyfile ", server_.key,
              "\nrequire_certificate true\nuse_identity_as_username true\nacl_file ",
              directory_ / "acl", "\npersistence true\npersistence_location ", directory_.path(),
              "/\nuser root\nlog_dest file ", directory_ / "log", "\n", more));
    std::string conf = directory_ / "conf";
    broker_ = fork();
    ASSERT_GE(broker_, 0);
    if (broker_ == 0) {
      int null = open("/dev/null", O_RDWR | O_CLOEXEC);
      dup2(null, 0);
      dup2(null, 1);
      dup2(null, 2);
      execl(Mosquitto(), "mosquitto", "-c", conf.c_str(), nullptr);
      _exit(127);
    }
  }
  void StopBroker(int signal) {
    if (broker_ <= 0)
      return;
    kill(broker_, signal);
    waitpid(std::exchange(broker_, 0), nullptr, 0);
  }

  ClientOptions Operator() {
    ClientOptions options = options_;
    options.client_id = "operator";
    options.will.reset();
    if (!operator_)
      operator_ = Trusting(authority_.trust(), authority_.Issue("operator"));
    options.target.tls = operator_;
    return options;
  }

  std::string FirstError() {
    StartClient();
    RunUntil([&] { return !errors_.empty() || connected_ > 0; });
    EXPECT_EQ(connected_, 0);
    // The broker may not be up at the first attempts.
    RunUntil([&] { return last_error().find("cannot connect") == std::string::npos; });
    client_->Stop();
    return last_error();
  }

  std::string Name() const { return options_.target.name(); }

  TempDir directory_;
  tls::TestAuthority authority_;
  tls::IdentityFiles server_;
  tls::IdentityFiles device_;
  std::shared_ptr<const tls::Config> operator_;
  uint16_t port_ = 0;
  pid_t broker_ = 0;
};

TEST_F(MqttBroker, MessagesBothWays) {
  StartBroker();
  StartClient();
  Other other(loop_.get(), Operator());
  std::string subscribed;
  std::string listening;
  std::string published;
  ASSERT_TRUE(client_->Subscribe("down/#", 1, Into(subscribed)));
  ASSERT_TRUE(other.client.Subscribe("up/#", 1, Into(listening)));
  RunUntil([&] { return subscribed == "ok" && listening == "ok"; });
  ASSERT_TRUE(other.client.Publish("down/req", "do it",
                                   {.expiry = seconds(60),
                                    .response_topic = "up/res",
                                    .correlation_data = std::string("\0\1\2", 3),
                                    .user = {{"v", "1"}, {"sig", "abc"}}},
                                   nullptr));
  RunUntil([&] { return messages_.size() == 1; });
  const Publish& request = messages_[0];
  EXPECT_EQ(request.topic, "down/req");
  EXPECT_EQ(request.payload, "do it");
  EXPECT_EQ(request.qos, 1);
  EXPECT_EQ(request.properties.text(Property::kResponseTopic), "up/res");
  EXPECT_EQ(request.properties.user("sig"), "abc");
  EXPECT_LE(request.properties.number(Property::kMessageExpiry), 60u);
  ASSERT_TRUE(client_->Publish(
      "up/res", "done",
      {.correlation_data = std::string(request.properties.text(Property::kCorrelationData))},
      Into(published)));
  RunUntil([&] { return published == "ok" && other.messages.size() == 1; });
  EXPECT_EQ(other.messages[0].payload, "done");
  EXPECT_EQ(other.messages[0].properties.text(Property::kCorrelationData),
            std::string_view("\0\1\2", 3));
  EXPECT_EQ(client_->version(), Version::k5);
}

TEST_F(MqttBroker, ManyMessagesInOrder) {
  StartBroker();
  StartClient();
  Other other(loop_.get(), Operator());
  std::string listening;
  ASSERT_TRUE(other.client.Subscribe("up/#", 1, Into(listening)));
  RunUntil([&] { return listening == "ok" && client_->connected(); });
  int sent = 0;
  int done = 0;
  std::string expected;
  while (sent < 200) {
    auto added = client_->Publish("up/n", Cat(sent), {}, [&](Result<> result) {
      EXPECT_TRUE(result);
      ++done;
    });
    if (added)
      Append(expected, sent++, " ");
    else
      RunFor(milliseconds(5));
  }
  RunUntil([&] { return done == 200 && other.messages.size() == 200; });
  std::string seen;
  for (const Publish& message : other.messages)
    Append(seen, message.payload, " ");
  EXPECT_EQ(seen, expected);
}

TEST_F(MqttBroker, NothingIsLostWhenTheBrokerRestarts) {
  StartBroker();
  StartClient();
  std::string subscribed;
  ASSERT_TRUE(client_->Subscribe("down/#", 1, Into(subscribed)));
  RunUntil([&] { return subscribed == "ok"; });
  StopBroker(SIGTERM);
  std::string published;
  ASSERT_TRUE(client_->Publish("up/kept", "while it was away", {.retain = true}, Into(published)));
  RunUntil([&] { return !errors_.empty(); });
  EXPECT_EQ(published, "");
  StartBroker();
  RunUntil([&] { return published == "ok"; });
  EXPECT_TRUE(session_present_);
  Other other(loop_.get(), Operator());
  std::string listening;
  ASSERT_TRUE(other.client.Subscribe("up/#", 1, Into(listening)));
  ASSERT_TRUE(other.client.Publish("down/x", "after", {}, nullptr));
  RunUntil([&] { return other.messages.size() == 1 && messages_.size() == 1; });
  EXPECT_EQ(other.messages[0].payload, "while it was away");
  EXPECT_TRUE(other.messages[0].retain);
}

TEST_F(MqttBroker, WhatWasNotAcknowledgedComesAgain) {
  StartBroker();
  StartClient();
  acknowledge_ = Acknowledge::kLater;
  std::string subscribed;
  ASSERT_TRUE(client_->Subscribe("down/#", 1, Into(subscribed)));
  RunUntil([&] { return subscribed == "ok"; });
  Other other(loop_.get(), Operator());
  ASSERT_TRUE(other.client.Publish("down/desired", "state", {}, nullptr));
  RunUntil([&] { return messages_.size() == 1; });
  client_.reset();  // as if the process had ended before it could keep the message
  StartClient();
  RunUntil([&] { return messages_.size() == 2; });
  EXPECT_TRUE(messages_[1].dup);
  EXPECT_EQ(messages_[1].payload, "state");
  client_->AcknowledgeMessage(tickets_[1]);
  RunFor(milliseconds(100));
  client_.reset();
  connected_ = 0;
  StartClient();
  RunUntil([&] { return connected_ == 1; });
  RunFor(milliseconds(200));
  EXPECT_EQ(messages_.size(), 2u);
}

TEST_F(MqttBroker, TheWillIsPublishedAfterACutAndNotAfterAFarewell) {
  StartBroker();
  options_.will = Will{"up/conn", "gone", 1, false, {}};
  options_.session_expiry = seconds(60);
  Other other(loop_.get(), Operator());
  std::string listening;
  ASSERT_TRUE(other.client.Subscribe("up/#", 1, Into(listening)));
  StartClient();
  RunUntil([&] { return connected_ == 1 && listening == "ok"; });
  client_->Stop();
  RunFor(milliseconds(300));
  EXPECT_EQ(other.messages.size(), 0u);
  client_->Start();
  RunUntil([&] { return connected_ == 2; });
  client_.reset();
  RunUntil([&] { return other.messages.size() == 1; });
  EXPECT_EQ(other.messages[0].payload, "gone");
}

TEST_F(MqttBroker, WhatTheRulesForbidIsTold) {
  StartBroker();
  StartClient();
  std::string result;
  ASSERT_TRUE(client_->Publish("elsewhere/x", "x", {}, Into(result)));
  RunUntil([&] { return !result.empty(); });
  EXPECT_EQ(result, Cat(Name(),
                        " refused the message to elsewhere/x: not authorized; see the "
                        "broker's access rules for this device"));
  EXPECT_TRUE(client_->connected());
}

TEST_F(MqttBroker, AClientOfAnotherAuthorityIsRefused) {
  tls::TestAuthority other("other authority");
  options_.target.tls = Trusting(authority_.trust(), other.Issue("device-1"));
  StartBroker();
  std::string error = FirstError();
  EXPECT_NE(error.find(Name() + " refused the TLS connection; it may not accept our certificate"),
            std::string::npos)
      << error;
}

TEST_F(MqttBroker, AnExpiredCertificateOfOursIsRefused) {
  options_.target.tls = Trusting(authority_.trust(), authority_.Issue("device-2", -1));
  StartBroker();
  std::string error = FirstError();
  EXPECT_NE(error.find(Name() + " refused the TLS connection; it may not accept our certificate"),
            std::string::npos)
      << error;
}

TEST_F(MqttBroker, ABrokerOfAnotherAuthorityIsNotTrusted) {
  tls::TestAuthority other("other authority");
  options_.target.tls = Trusting(other.trust(), device_);
  StartBroker();
  EXPECT_EQ(FirstError(), Cat("no connection: cannot trust ", Name(),
                              ": its certificate is not signed by a trusted authority; name the "
                              "authority's file as `ca` in [mqtt]"));
}

TEST_F(MqttBroker, AnExpiredBrokerIsNotTrusted) {
  server_ = authority_.Issue("localhost", -1, ",IP:127.0.0.1");
  StartBroker();
  EXPECT_EQ(FirstError(),
            Cat("no connection: cannot trust ", Name(),
                ": its certificate has expired; renew it, or set this device's clock"));
}

TEST_F(MqttBroker, ABrokerOfAnotherNameIsNotTrusted) {
  server_ = authority_.Issue("elsewhere");
  StartBroker();
  EXPECT_EQ(FirstError(), Cat("no connection: cannot trust ", Name(),
                              ": its certificate is for another name (elsewhere); use a name that "
                              "is in the certificate, or have it issued for this one"));
}

TEST_F(MqttBroker, Tls12IsSpokenToo) {
  StartBroker("tls_version tlsv1.2\nciphers ECDHE-ECDSA-AES128-GCM-SHA256\n");
  StartClient();
  std::string published;
  ASSERT_TRUE(client_->Publish("up/x", std::string(60'000, 'x'), {}, Into(published)));
  RunUntil([&] { return published == "ok"; });
}

}  // namespace
}  // namespace wherry::mqtt
