#include "net/http/unix_client.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/net/http/http_fixture.h"

namespace wherry::http {
namespace {

using std::chrono::milliseconds;

UnixClient Connected(const std::string& path) {
  auto client = UnixClient::Connect(path);
  EXPECT_TRUE(client) << (client ? "" : client.error().message());
  return std::move(*client);
}

class UnixClientTest : public ServerTest {};

TEST_F(UnixClientTest, MissingSocketIsOneSentence) {
  auto missing = UnixClient::Connect(path_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kUnavailable);
  EXPECT_EQ(
      missing.error().message(),
      Cat("cannot connect to ", path_,
          ": the socket does not exist; is the daemon running? start it with `wherry daemon`"));
  {
    auto stale = ListenUnix(path_, 0600, "");
  }
  auto refused = UnixClient::Connect(path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kUnavailable);
  EXPECT_NE(refused.error().message().find("nobody listens"), std::string::npos);
  EXPECT_EQ(UnixClient::Connect(std::string(200, 'x')).error().code(), Errc::kInvalid);
  EXPECT_EQ(UnixClient::Connect("").error().code(), Errc::kInvalid);
}

TEST_F(UnixClientTest, RequestsAndReuse) {
  StartEcho();
  UnixClient client = Connected(path_);
  for (int i = 0; i < 5; ++i) {
    auto response = client.Request("POST", "/a?b=c", {{"X-A", "b"}}, "body");
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->header("content-length"), "12");
    EXPECT_EQ(*client.ReadWholeBody(), "POST /a|body");
    EXPECT_TRUE(client.reusable());
  }
  auto unread = client.Request("GET", "/");
  ASSERT_TRUE(unread);
  EXPECT_FALSE(client.reusable());
  EXPECT_FALSE(client.Request("GET", "/"));
}

TEST_F(UnixClientTest, HeadAndBodyless) {
  Start([](ExchangePtr exchange) {
    exchange->Reply(exchange->request().path == "/204" ? 204 : 200, {}, "four");
  });
  UnixClient client = Connected(path_);
  EXPECT_EQ(client.Request("HEAD", "/")->header("Content-Length"), "4");
  EXPECT_EQ(*client.ReadWholeBody(), "");
  EXPECT_EQ(client.Request("DELETE", "/204")->status, 204);
  EXPECT_EQ(*client.ReadWholeBody(), "");
  EXPECT_EQ(client.Request("GET", "/")->status, 200);
  EXPECT_EQ(*client.ReadWholeBody(), "four");
}

TEST_F(UnixClientTest, StreamedAnswerComesAsItIsWritten) {
  ExchangePtr held;
  Start([&](ExchangePtr exchange) {
    exchange->StartStream(200, {});
    held = std::move(exchange);
  });
  UnixClient client = Connected(path_);
  ASSERT_TRUE(client.Request("GET", "/events"));
  std::array<std::byte, 4> small;
  std::string got;
  for (std::string_view piece : {"one", "twotwo"}) {
    OnLoop([&] { held->Write(piece); });
    size_t left = piece.size();
    while (left > 0) {
      auto count = client.ReadBody(small);
      ASSERT_TRUE(count);
      got.append(reinterpret_cast<char*>(small.data()), *count);
      left -= *count;
    }
  }
  EXPECT_EQ(got, "onetwotwo");
  OnLoop([&] {
    held->End();
    held.reset();
  });
  EXPECT_EQ(*client.ReadBody(small), 0u);
  EXPECT_EQ(*client.ReadBody(small), 0u);
  EXPECT_TRUE(client.reusable());
}

TEST_F(UnixClientTest, LimitsAndLargeBodies) {
  Start([](ExchangePtr exchange) { exchange->Reply(200, {}, std::string(1'000'000, 'x')); });
  UnixClient client = Connected(path_);
  ASSERT_TRUE(client.Request("GET", "/"));
  EXPECT_EQ(client.ReadWholeBody(999'999).error().code(), Errc::kInvalid);
  UnixClient second = Connected(path_);
  ASSERT_TRUE(second.Request("GET", "/"));
  EXPECT_EQ(second.ReadWholeBody(1'000'000)->size(), 1'000'000u);
}

TEST_F(UnixClientTest, LargeRequestBody) {
  StartEcho();
  UnixClient client = Connected(path_);
  std::string body(2'000'000, 'q');
  ASSERT_TRUE(client.Request("POST", "/", {}, body));
  EXPECT_TRUE(*client.ReadWholeBody() == Cat("POST /|", body));
}

TEST_F(UnixClientTest, RequestInPieces) {
  StartEcho();
  UnixClient client = Connected(path_);
  ASSERT_TRUE(client.StartRequest("POST", "/build", {{"Content-Type", "application/x-tar"}}));
  ASSERT_TRUE(client.WriteBody("abc"));
  ASSERT_TRUE(client.WriteBody(""));
  ASSERT_TRUE(client.WriteBody(std::string(100'000, 'd')));
  auto response = client.FinishRequest();
  ASSERT_TRUE(response);
  EXPECT_EQ(client.ReadWholeBody()->size(), 100'003u + 12);
}

// A server that writes as much as it reads must not block a client that only writes.
TEST_F(UnixClientTest, AnswersThatComeWhileSending) {
  Start(
      [](ExchangePtr exchange) {
        exchange->StartStream(200, {});
        exchange->OnBody([exchange](std::string_view piece) {
          exchange->PauseBody(exchange->pending() > 0);
          if (piece.empty()) {
            exchange->End();
          } else {
            exchange->Write(piece);
          }
        });
        exchange->OnDrain([raw = exchange.get()] { raw->PauseBody(false); });
      },
      [](const Request&) { return true; });
  UnixClient client = Connected(path_);
  ASSERT_TRUE(client.StartRequest("POST", "/load"));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(client.WriteBody(std::string(65536, 'l')));
  }
  ASSERT_TRUE(client.FinishRequest());
  EXPECT_EQ(client.ReadWholeBody()->size(), 655'360u);
}

TEST_F(UnixClientTest, EarlyRefusalIsReported) {
  Start([](ExchangePtr exchange) { exchange->Reply(404, {}, "no such thing"); },
        [](const Request&) { return true; });
  UnixClient client = Connected(path_);
  ASSERT_TRUE(client.StartRequest("POST", "/load"));
  Result<> sent;
  for (int i = 0; i < 1000 && sent; ++i) {
    sent = client.WriteBody(std::string(65536, 'l'));
  }
  auto response = client.FinishRequest();
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(*client.ReadWholeBody(), "no such thing");
}

TEST_F(UnixClientTest, HijackWithEarlyBytes) {
  std::shared_ptr<Stream> stream;
  Start([&](ExchangePtr exchange) {
    bool upgrade = exchange->request().path == "/101";
    stream = exchange->Hijack(
        upgrade
            ? "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"
            : "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nearly");
    stream->OnData([&](std::string_view bytes) { stream->Write(bytes); });
    stream->OnReadEnd([&] { stream->Close(); });
  });
  for (std::string_view target : {"/101", "/200"}) {
    UnixClient client = Connected(path_);
    auto response = client.Request("POST", target, {{"Connection", "Upgrade"}, {"Upgrade", "tcp"}});
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, target == "/101" ? 101 : 200);
    auto taken = std::move(client).Hijack();
    char buffer[64];
    while (taken.early.size() < 5) {
      ssize_t count = read(taken.fd.get(), buffer, sizeof(buffer));
      ASSERT_GT(count, 0);
      taken.early.append(buffer, static_cast<size_t>(count));
    }
    EXPECT_EQ(taken.early, "early");
    ASSERT_EQ(write(taken.fd.get(), "ping", 4), 4);
    ASSERT_EQ(read(taken.fd.get(), buffer, 4), 4);
    shutdown(taken.fd.get(), SHUT_WR);
    EXPECT_EQ(read(taken.fd.get(), buffer, 4), 0);
  }
  OnLoop([&] { stream.reset(); });
}

TEST_F(UnixClientTest, HeadersCannotBeForged) {
  StartEcho();
  UnixClient client = Connected(path_);
  EXPECT_EQ(client.Request("GET", "/a b").error().code(), Errc::kInvalid);
  EXPECT_EQ(client.Request("GET", "/a\r\nX: y").error().code(), Errc::kInvalid);
  EXPECT_EQ(client.Request("GET", "/", {{"A", "b\nC: d"}}).error().code(), Errc::kInvalid);
  EXPECT_EQ(client.Request("GET", "").error().code(), Errc::kInvalid);
  EXPECT_TRUE(client.Request("GET", "/"));
}

// A server that says what it is told, whatever was asked.
class ScriptedTest : public ServerTest {
 protected:
  // Accepts one connection, reads a request head, sends `text` and closes.
  void Serve(std::string text) {
    if (thread_.joinable()) {
      thread_.join();
    }
    auto listener = std::move(*ListenUnix(path_, 0600, ""));
    fcntl(listener.get(), F_SETFL, 0);
    thread_ = std::thread([text = std::move(text), listener = std::move(listener)] {
      UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char buffer[4096];
      std::string head;
      ssize_t count;
      while (head.find("\r\n\r\n") == std::string::npos &&
             (count = read(fd.get(), buffer, sizeof(buffer))) > 0) {
        head.append(buffer, static_cast<size_t>(count));
      }
      for (char c : text) {
        send(fd.get(), &c, 1, MSG_NOSIGNAL);
      }
    });
  }
  void TearDown() override {
    if (thread_.joinable()) {
      thread_.join();
    }
    EXPECT_TRUE(RemoveTree(dir_));
  }
  struct Outcome {
    int status = 0;
    std::string body;
    std::string error;
  };
  Outcome Ask(std::string text) {
    Serve(std::move(text));
    Outcome out;
    UnixClient client = Connected(path_);
    auto response = client.Request("GET", "/");
    if (!response) {
      out.error = response.error().message();
      return out;
    }
    out.status = response->status;
    auto body = client.ReadWholeBody();
    out.body = body ? *body : "";
    out.error = body ? "" : body.error().message();
    EXPECT_FALSE(client.reusable() && !body);
    return out;
  }
};

TEST_F(ScriptedTest, BodyFramings) {
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").body, "abc");
  EXPECT_EQ(
      Ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
          .body,
      "abc");
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\n\r\nuntil the end").body, "until the end");
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\n\r\n").body, "");
  EXPECT_EQ(Ask("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nx").body, "x");
  EXPECT_EQ(Ask("HTTP/1.1 304 Not Modified\r\n\r\n").status, 304);
}

TEST_F(ScriptedTest, InterimAnswersAreSkipped) {
  Outcome out =
      Ask("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 "
          "Created\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(out.status, 201);
  EXPECT_EQ(out.body, "x");
}

TEST_F(ScriptedTest, BrokenAnswers) {
  EXPECT_EQ(Ask("").error, "the daemon closed the connection without an answer");
  EXPECT_EQ(Ask("HTTP/1.1 20").error, "the daemon closed the connection without an answer");
  EXPECT_EQ(Ask("HTTP/1.1 100 Continue\r\n\r\n").error,
            "the daemon closed the connection without an answer");
  constexpr std::string_view kCut = "the daemon closed the connection in the middle of its answer";
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").error, kCut);
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc").error, kCut);
  EXPECT_EQ(Ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").error, kCut);
  EXPECT_TRUE(
      Ask("SSH-2.0-OpenSSH\r\n").error.starts_with("the answer of the daemon is not HTTP: "));
  EXPECT_TRUE(Ask("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
                  .error.starts_with("the answer of the daemon is not HTTP: "));
  EXPECT_TRUE(Ask(Cat("HTTP/1.1 200 OK\r\nA: ", std::string(300 << 10, 'x'), "\r\n\r\n"))
                  .error.starts_with("the answer of the daemon is not HTTP: "));
  EXPECT_TRUE(Ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
                  .error.starts_with("the answer of the daemon is not HTTP: "));
}

TEST_F(ScriptedTest, ServerLeavesWhileTheBodyIsSent) {
  for (std::string_view text :
       {"", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"}) {
    Serve(std::string(text));
    UnixClient client = Connected(path_);
    ASSERT_TRUE(client.StartRequest("POST", "/load"));
    Result<> sent;
    for (int i = 0; i < 1000 && sent; ++i) {
      sent = client.WriteBody(std::string(65536, 'l'));
    }
    EXPECT_FALSE(sent);
    auto response = client.FinishRequest();
    EXPECT_EQ(response.has_value(), !text.empty());
    if (!response) {
      EXPECT_EQ(response.error().code(), Errc::kUnavailable);
    }
    EXPECT_FALSE(client.reusable());
  }
}

}  // namespace
}  // namespace wherry::http
