#include "net/tls/tls_channel.h"

#include <sys/socket.h>

#include <functional>

#include "core/base/loop.h"
#include "net/tls/stream.h"
#include "tests/unit/net/tls/authority.h"

namespace wherry::tls {
namespace {

// One end of a connection on the loop.
class End final : public StreamUser {
 public:
  explicit End(Loop* loop) : loop_(loop) {}

  void Open(std::unique_ptr<Channel> channel) {
    stream_ = std::make_unique<Stream>(loop_, std::move(channel), "peer", this);
    ASSERT_TRUE(stream_->Start());
  }
  void OnConnected() override {
    ++connected;
    if (const PeerName* name = stream_->peer_name())
      peer = name->common_name;
    if (on_connected)
      on_connected();
  }
  void OnData(std::string_view bytes) override {
    received += bytes;
    if (on_data)
      on_data();
  }
  void OnDrained() override { ++drained; }
  void OnEnd(const Error& failure) override {
    error = failure.message();
    if (on_end)
      on_end();
  }
  Stream& stream() { return *stream_; }
  void Close() { stream_.reset(); }

  int connected = 0;
  int drained = 0;
  std::string peer;
  std::string received;
  std::string error;
  std::function<void()> on_connected;
  std::function<void()> on_data;
  std::function<void()> on_end;

 private:
  Loop* loop_;
  std::unique_ptr<Stream> stream_;
};

class TlsChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*Loop::Create());
    client_ = std::make_unique<End>(loop_.get());
    server_ = std::make_unique<End>(loop_.get());
    client_->on_end = server_->on_end = [this] { StopWhenBothEnded(); };
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_), 0);
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
  }

  void StopWhenBothEnded() {
    if (!client_->error.empty() && !server_->error.empty())
      loop_->Stop();
  }

  void Connect(const Result<std::shared_ptr<const Config>>& client,
               const Result<std::shared_ptr<const Config>>& server,
               const std::string& host = "server") {
    ASSERT_TRUE(client) << client.error().message();
    ASSERT_TRUE(server) << server.error().message();
    client_->Open(std::move(*TlsChannel(UniqueFd(fds_[0]), *client, host, host + ":1")));
    server_->Open(std::move(*TlsChannel(UniqueFd(fds_[1]), *server, "", "client")));
  }

  void Run() {
    bool late = false;
    auto timer = loop_->After(std::chrono::seconds(20), [&] {
      late = true;
      loop_->Stop();
    });
    ASSERT_TRUE(loop_->Run());
    loop_->Cancel(timer);
    EXPECT_FALSE(late) << "nothing happened";
  }

  // Connects, expects the connection to fail, returns the client's error.
  std::string Refusal(const Result<std::shared_ptr<const Config>>& client,
                      const Result<std::shared_ptr<const Config>>& server,
                      const std::string& host = "server") {
    Connect(client, server, host);
    client_->on_end = [this] {
      client_->Close();
      StopWhenBothEnded();
    };
    server_->on_end = [this] {
      server_->Close();
      StopWhenBothEnded();
    };
    Run();
    return client_->error;
  }

  TestAuthority authority_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<End> client_;
  std::unique_ptr<End> server_;
  int fds_[2];
};

TEST_F(TlsChannelTest, BothSidesKnowEachOther) {
  Connect(Config::Client(authority_.trust(), authority_.Issue("device-7")),
          Config::Server(authority_.trust(), authority_.Issue("server"), {}));
  client_->on_connected = [&] { client_->stream().Write("hello"); };
  server_->on_data = [&] { server_->stream().Write("welcome"); };
  client_->on_data = [&] { loop_->Stop(); };
  Run();
  EXPECT_EQ(client_->peer, "server");
  EXPECT_EQ(server_->peer, "device-7");
  EXPECT_EQ(server_->received, "hello");
  EXPECT_EQ(client_->received, "welcome");
  EXPECT_EQ(client_->connected, 1);

  // A farewell is told from a connection that was cut.
  server_->on_end = [&] { loop_->Stop(); };
  client_->Close();
  Run();
  EXPECT_EQ(server_->error, "peer closed the connection");
}

TEST_F(TlsChannelTest, MuchDataBothWaysWithPauses) {
  Connect(Config::Client(authority_.trust(), authority_.Issue("device")),
          Config::Server(authority_.trust(), authority_.Issue("server"), {}));
  std::string much;
  for (int i = 0; i < 200'000; ++i)
    Append(much, i, ",");
  auto check = [&] {
    if (client_->received.size() == much.size() && server_->received.size() == much.size())
      loop_->Stop();
  };
  client_->on_connected = [&] {
    for (size_t i = 0; i < much.size(); i += 5000)
      client_->stream().Write(std::string_view(much).substr(i, 5000));
    EXPECT_GT(client_->stream().pending(), 0u);
  };
  server_->on_connected = [&] {
    server_->stream().PauseReading(true);
    server_->stream().Write(much);
    loop_->After(std::chrono::milliseconds(50), [&] { server_->stream().PauseReading(false); });
  };
  client_->on_data = check;
  server_->on_data = check;
  Run();
  EXPECT_TRUE(client_->received == much);
  EXPECT_TRUE(server_->received == much);
  EXPECT_EQ(client_->stream().pending(), 0u);
  EXPECT_GE(client_->drained, 1);
}

TEST_F(TlsChannelTest, AnotherNameIsRefused) {
  EXPECT_EQ(
      Refusal(Config::Client(authority_.trust(), {}),
              Config::Server(authority_.trust(), authority_.Issue("server"), {}), "elsewhere"),
      "cannot trust elsewhere:1: its certificate is for another name (server); use a name "
      "that is in the certificate, or have it issued for this one");
  EXPECT_EQ(server_->error, "client refused our certificate or our TLS version");
}

TEST_F(TlsChannelTest, AnUnknownAuthorityIsRefused) {
  TestAuthority other("other authority");
  EXPECT_EQ(Refusal(Config::Client(other.trust(), {}),
                    Config::Server(authority_.trust(), authority_.Issue("server"), {})),
            "cannot trust server:1: its certificate is not signed by a trusted authority; name the "
            "authority's file as `ca` in [test]");
}

TEST_F(TlsChannelTest, AnExpiredCertificateIsRefused) {
  EXPECT_EQ(Refusal(Config::Client(authority_.trust(), {}),
                    Config::Server(authority_.trust(), authority_.Issue("server", -1), {})),
            "cannot trust server:1: its certificate has expired; renew it, or set this device's "
            "clock");
}

Answers Told() {
  return {"", [](std::string_view reason) { return Cat("told: ", reason); }};
}

TEST_F(TlsChannelTest, AClientWithoutCertificateIsToldWhy) {
  std::string reason =
      "client has no certificate; it must connect with one of the authority `client-ca` in [test]";
  Refusal(Config::Client(authority_.trust(), {}),
          Config::Server(authority_.trust(), authority_.Issue("server"), Told()));
  EXPECT_EQ(server_->error, reason);
  EXPECT_EQ(server_->connected, 0);
  EXPECT_EQ(client_->received, "told: " + reason);
}

TEST_F(TlsChannelTest, AClientOfAnotherAuthorityIsToldWhy) {
  TestAuthority other("other authority");
  std::string reason =
      "cannot trust client: its certificate is not signed by a trusted authority; name the "
      "authority's file as `client-ca` in [test]";
  Refusal(Config::Client(authority_.trust(), other.Issue("device")),
          Config::Server(authority_.trust(), authority_.Issue("server"), Told()));
  EXPECT_EQ(server_->error, reason);
  EXPECT_EQ(server_->connected, 0);
  EXPECT_EQ(client_->received, "told: " + reason);
}

TEST_F(TlsChannelTest, AClientWithAnExpiredCertificateIsToldWhy) {
  Refusal(Config::Client(authority_.trust(), authority_.Issue("device", -1)),
          Config::Server(authority_.trust(), authority_.Issue("server"), Told()));
  EXPECT_EQ(server_->error,
            "cannot trust client: its certificate has expired; renew it, or set this device's "
            "clock");
  EXPECT_EQ(server_->connected, 0);
}

TEST_F(TlsChannelTest, PlainTextIsToldSo) {
  auto server = Config::Server(authority_.trust(), authority_.Issue("server"), {"plain answer\n"});
  client_->Open(PlainChannel(UniqueFd(fds_[0]), "x"));
  server_->Open(std::move(*TlsChannel(UniqueFd(fds_[1]), *server, "", "client")));
  client_->on_connected = [&] { client_->stream().Write("GET / HTTP/1.1\r\n\r\n"); };
  server_->on_end = [&] { server_->Close(); };
  client_->on_end = [&] { loop_->Stop(); };
  Run();
  EXPECT_EQ(client_->received, "plain answer\n");
  EXPECT_EQ(server_->error, "client does not speak TLS; it must connect with TLS");
}

TEST_F(TlsChannelTest, AServerWithoutTlsIsToldSo) {
  auto config = Config::Client(authority_.trust(), {});
  client_->Open(std::move(*TlsChannel(UniqueFd(fds_[0]), *config, "server", "server:1")));
  server_->Open(PlainChannel(UniqueFd(fds_[1]), "x"));
  server_->on_data = [&] { server_->stream().Write("HTTP/1.0 400 Bad Request\r\n\r\n"); };
  client_->on_end = [&] { loop_->Stop(); };
  Run();
  EXPECT_EQ(client_->error, "server:1 does not speak TLS; check the port, or connect without TLS");
}

TEST_F(TlsChannelTest, AConnectionThatIsCutIsNoFarewell) {
  Connect(Config::Client(authority_.trust(), authority_.Issue("device")),
          Config::Server(authority_.trust(), authority_.Issue("server"), {}));
  client_->on_connected = [&] { client_->stream().Write("x"); };
  server_->on_data = [&] { shutdown(fds_[1], SHUT_RDWR); };
  client_->on_end = [&] { loop_->Stop(); };
  Run();
  EXPECT_TRUE(client_->error.starts_with("the connection to server:1 was lost: "))
      << client_->error;
}

TEST_F(TlsChannelTest, AUserMayEndItsStreamInACallback) {
  Connect(Config::Client(authority_.trust(), authority_.Issue("device")),
          Config::Server(authority_.trust(), authority_.Issue("server"), {}));
  client_->on_connected = [&] { client_->Close(); };
  server_->on_end = [&] {
    server_->Close();
    loop_->Stop();
  };
  Run();
  EXPECT_EQ(server_->error, "peer closed the connection");
}

}  // namespace
}  // namespace wherry::tls
