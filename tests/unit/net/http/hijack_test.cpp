// Connections taken over for attach: docker-api.md 2.2.
#include <gtest/gtest.h>

#include "tests/unit/net/http/http_fixture.h"

namespace wherry::http {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kUpgraded =
    "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

class HijackTest : public ServerTest {
 protected:
  // Takes every request over and sends input back in upper case until its end, then "bye".
  void StartUpper() {
    Start([this](ExchangePtr exchange) {
      body_ = exchange->request().body;
      stream_ = exchange->Hijack(std::string(kUpgraded));
      stream_->OnData([this](std::string_view bytes) {
        std::string upper(bytes);
        for (char& c : upper) {
          c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
        }
        stream_->Write(upper);
      });
      stream_->OnReadEnd([this] {
        stream_->Write("bye");
        stream_->Close();
      });
    });
  }
  void TearDown() override {
    OnLoop([this] { stream_.reset(); });
    ServerTest::TearDown();
  }

  std::shared_ptr<Stream> stream_;
  std::string body_;
};

TEST_F(HijackTest, UpgradeWithoutBody) {
  StartUpper();
  RawClient client = Connect();
  client.Send(
      "POST /containers/x/attach?stream=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
      "tcp\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.ReadHead(), kUpgraded);
  client.Send("hello\n");
  EXPECT_EQ(client.Read(6), "HELLO\n");
  client.ShutdownSending();
  EXPECT_EQ(client.ReadAll(), "bye");
  EXPECT_EQ(client.last_error(), 0);
}

// dockerode posts its options as JSON: they must not end up in the container's standard input.
TEST_F(HijackTest, BodyIsConsumedBeforeInputBegins) {
  StartUpper();
  for (bool upgrade : {true, false}) {
    RawClient client = Connect();
    client.Send(
        Cat("POST /attach HTTP/1.1\r\n", upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "",
            "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"Tty\":false}input"));
    EXPECT_EQ(client.ReadHead(), kUpgraded);
    EXPECT_EQ(client.Read(5), "INPUT");
    OnLoop([&] { EXPECT_EQ(body_, "{\"Tty\":false}"); });
    client.ShutdownSending();
    EXPECT_EQ(client.ReadAll(), "bye");
  }
}

TEST_F(HijackTest, ChunkedBodyThenInput) {
  StartUpper();
  RawClient client = Connect();
  client.Send(
      "POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding: "
      "chunked\r\n\r\n"
      "2\r\n{}\r\n0\r\n\r\nraw \r\n bytes");
  EXPECT_EQ(client.ReadHead(), kUpgraded);
  EXPECT_EQ(client.Read(12), "RAW \r\n BYTES");
  OnLoop([&] { EXPECT_EQ(body_, "{}"); });
}

TEST_F(HijackTest, BodyArrivesInPieces) {
  StartUpper();
  RawClient client = Connect();
  for (char c : std::string_view("POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: "
                                 "tcp\r\nContent-Length: 2\r\n\r\n{}abc")) {
    client.Send(std::string_view(&c, 1));
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  EXPECT_EQ(client.ReadHead(), kUpgraded);
  EXPECT_EQ(client.Read(3), "ABC");
}

TEST_F(HijackTest, EarlyInputAfterAnUpgradeWithoutLength) {
  StartUpper();
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\n\nabc");
  EXPECT_EQ(client.ReadHead(), kUpgraded);
  EXPECT_EQ(client.Read(5), "\n\nABC");
}

TEST_F(HijackTest, UpgradeRequestAnsweredNormallyKeepsHttp) {
  StartEcho();
  RawClient client = Connect();
  client.Send(
      "POST /session HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: "
      "2\r\n\r\nabGET /next HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("POST /session|ab"));
  EXPECT_TRUE(client.ReadReply().ends_with("GET /next|"));
}

TEST_F(HijackTest, OutputContinuesAfterHalfClose) {
  std::promise<void> ended;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnData([](std::string_view) {});
    stream_->OnReadEnd([&] { ended.set_value(); });
    stream_->OnClose([] { ADD_FAILURE() << "the client still reads"; });
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  client.ReadHead();
  client.ShutdownSending();
  ended.get_future().wait();
  std::this_thread::sleep_for(milliseconds(20));
  std::string big(2 << 20, 'o');
  OnLoop([&] { stream_->Write(big); });
  EXPECT_EQ(client.Read(big.size()), big);
  OnLoop([&] { stream_->Close(); });
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HijackTest, CloseSendsEverythingFirst) {
  std::string big(3 << 20, 'z');
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnClose([] { ADD_FAILURE() << "called after Close"; });
    stream_->Write(big);
    stream_->Close();
    stream_->Close();
    stream_->Write("late");
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  client.ReadHead();
  EXPECT_TRUE(client.ReadAll() == big);
}

// `yes | docker run -i x true`: the end of the output must not turn into a reset.
TEST_F(HijackTest, UnreadInputDoesNotResetTheConnection) {
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    loop_->After(milliseconds(20), [this] {
      stream_->Write("output");
      stream_->Close();
    });
  });
  RawClient client = Connect();
  client.Send(Cat("POST /attach HTTP/1.1\r\n\r\n", std::string(100'000, 'y')));
  client.ReadHead();
  EXPECT_EQ(client.ReadAll(), "output");
  EXPECT_EQ(client.last_error(), 0);
}

TEST_F(HijackTest, LingeringConnectionsEndWithoutTheClient) {
  std::promise<void> closed;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->Close();
    closed.set_value();
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  closed.get_future().wait();
  // The client neither reads nor closes; after the limit its sending fails.
  bool ended = false;
  for (int i = 0; i < 100 && !ended; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    ended = !client.Send("x");
  }
  EXPECT_TRUE(ended);
}

TEST_F(HijackTest, CloseIsReportedOnceAfterTheLastData) {
  std::promise<std::string> closed;
  std::string order;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnData([&](std::string_view bytes) { order += bytes; });
    stream_->OnReadEnd([&] { order += "|end"; });
    stream_->OnClose([&] { closed.set_value(order + "|close"); });
  });
  {
    RawClient client = Connect();
    client.Send("POST /attach HTTP/1.1\r\n\r\n");
    client.ReadHead();
    client.Send("last words");
  }
  EXPECT_EQ(closed.get_future().get(), "last words|end|close");
  OnLoop([&] {
    stream_->Write("vanishes");
    EXPECT_EQ(stream_->pending(), 0u);
    stream_->Close();
  });
}

TEST_F(HijackTest, CloseIsReportedWithoutAReader) {
  std::promise<void> closed;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnClose([&] { closed.set_value(); });
  });
  {
    RawClient client = Connect();
    client.Send("POST /attach HTTP/1.1\r\n\r\nunread");
    client.ReadHead();
    client.Send("unread too");
  }
  closed.get_future().wait();
}

TEST_F(HijackTest, PausedReaderGetsAllDataBeforeTheEnd) {
  std::string got;
  bool ended = false;
  std::promise<void> closed;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnData([&](std::string_view bytes) {
      got += bytes;
      stream_->PauseReading(true);
    });
    stream_->OnReadEnd([&] { ended = true; });
    stream_->OnClose([&] { closed.set_value(); });
  });
  std::string data;
  for (int i = 0; i < 10000; ++i) {
    Append(data, i, " ");
  }
  RawClient client = Connect();
  client.Send(Cat("POST /attach HTTP/1.1\r\n\r\n", "first "));
  client.ReadHead();
  client.Send(data);
  client.Close();
  std::this_thread::sleep_for(milliseconds(30));
  OnLoop([&] { EXPECT_LE(got.size(), 20'000u); });
  auto future = closed.get_future();
  while (future.wait_for(milliseconds(1)) != std::future_status::ready) {
    OnLoop([&] { stream_->PauseReading(false); });
  }
  EXPECT_TRUE(ended);
  EXPECT_TRUE(got == "first " + data);
}

TEST_F(HijackTest, BackPressureTowardsTheClient) {
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnData([](std::string_view) { FAIL(); });
    stream_->PauseReading(true);
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  client.ReadHead();
  size_t sent = 0;
  std::string piece(65536, 'x');
  ssize_t count;
  while ((count = send(client.fd(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0) {
    sent += static_cast<size_t>(count);
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_LT(sent, 8u << 20);
}

TEST_F(HijackTest, DrainIsReportedAfterASlowReader) {
  std::promise<void> drained;
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    stream_->OnDrain([&] { drained.set_value(); });
    stream_->Write(std::string(4 << 20, 'w'));
    EXPECT_GT(stream_->pending(), 0u);
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  client.ReadHead();
  auto future = drained.get_future();
  EXPECT_EQ(future.wait_for(milliseconds(20)), std::future_status::timeout);
  client.Read(4 << 20);
  future.wait();
}

TEST_F(HijackTest, CallbacksMayReplaceAndEndThemselves) {
  std::promise<std::string> finished;
  Start([&](ExchangePtr exchange) {
    auto stream = exchange->Hijack(std::string(kUpgraded));
    Stream* raw = stream.get();
    auto witness = std::make_shared<std::string>("first:");
    // The callbacks own the stream: the cycle must end with Close.
    raw->OnData([stream, witness, &finished](std::string_view bytes) {
      *witness += bytes;
      auto next = [stream, witness, &finished](std::string_view more) {
        *witness += Cat(" second:", more);
        stream->Close();
        finished.set_value(*witness);
      };
      stream->OnData(std::move(next));
    });
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  client.ReadHead();
  client.Send("a");
  std::this_thread::sleep_for(milliseconds(30));
  client.Send("b");
  EXPECT_EQ(finished.get_future().get(), "first:a second:b");
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HijackTest, ExchangeIsFinishedByHijack) {
  Start([&](ExchangePtr exchange) {
    stream_ = exchange->Hijack(std::string(kUpgraded));
    exchange->Reply(500, {}, "no");
    exchange->StartStream(500, {});
    exchange->Write("no");
    exchange->End();
    EXPECT_EQ(exchange->pending(), 0u);
    auto second = exchange->Hijack("no");
    second->Write("no");
    second->OnClose([] {});
    second->Close();
    stream_->Close();
  });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAll(), kUpgraded);
}

TEST_F(HijackTest, HijackAfterTheClientLeft) {
  ExchangePtr held;
  std::promise<void> gone;
  Start([&](ExchangePtr exchange) {
    exchange->OnClose([&] { gone.set_value(); });
    held = std::move(exchange);
  });
  {
    RawClient client = Connect();
    client.Send("POST /attach HTTP/1.1\r\n\r\n");
    std::this_thread::sleep_for(milliseconds(20));
  }
  gone.get_future().wait();
  OnLoop([&] {
    stream_ = held->Hijack(std::string(kUpgraded));
    stream_->OnData([](std::string_view) {});
    stream_->PauseReading(false);
    stream_->Write("x");
    stream_->Close();
    held.reset();
  });
}

TEST_F(HijackTest, DroppedStreamIsClosed) {
  Start([&](ExchangePtr exchange) { exchange->Hijack(std::string(kUpgraded)); });
  RawClient client = Connect();
  client.Send("POST /attach HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAll(), kUpgraded);
}

}  // namespace
}  // namespace wherry::http
