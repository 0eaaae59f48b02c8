// Request bodies that the handler takes in pieces.
#include <gtest/gtest.h>

#include "tests/unit/net/http/http_fixture.h"

namespace wherry::http {
namespace {

using std::chrono::milliseconds;

class StreamedBodyTest : public ServerTest {
 protected:
  // Requests below /stream are streamed; the handler is called with those, others are echoed.
  void StartStreaming(Server::Handler handler) {
    Start(
        [handler = std::move(handler)](ExchangePtr exchange) mutable {
          if (!exchange->request().path.starts_with("/stream")) {
            exchange->Reply(200, {}, Cat("plain|", exchange->request().body));
            return;
          }
          EXPECT_EQ(exchange->request().body, "");
          handler(std::move(exchange));
        },
        [](const Request& request) { return request.path.starts_with("/stream"); },
        {.max_head_bytes = 4096, .max_body_bytes = 100, .common_headers = {}});
  }
  // Collects the body and answers with it.
  void StartCollecting() {
    StartStreaming([](ExchangePtr exchange) {
      auto body = std::make_shared<std::string>();
      exchange->OnBody([exchange, body](std::string_view piece) {
        if (!piece.empty()) {
          *body += piece;
        } else {
          exchange->Reply(200, {}, Cat("streamed|", *body));
        }
      });
    });
  }
};

TEST_F(StreamedBodyTest, LargerThanAnyBuffer) {
  StartCollecting();
  std::string body(5 << 20, 's');
  RawClient client = Connect();
  std::thread sender([&] {
    client.Send(Cat("POST /stream HTTP/1.1\r\nContent-Length: ", body.size(), "\r\n\r\n", body,
                    "GET /x HTTP/1.1\r\n\r\n"));
  });
  std::string reply = client.ReadReply();
  sender.join();
  EXPECT_TRUE(reply.ends_with("|" + body));
  EXPECT_TRUE(client.ReadReply().ends_with("plain|"));  // the connection goes on
}

TEST_F(StreamedBodyTest, ChunkedInSmallPieces) {
  StartCollecting();
  RawClient client = Connect();
  for (char c : std::string_view("POST /stream HTTP/1.1\r\nTransfer-Encoding: "
                                 "chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")) {
    client.Send(std::string_view(&c, 1));
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  EXPECT_TRUE(client.ReadReply().ends_with("streamed|abcdefg"));
}

TEST_F(StreamedBodyTest, EmptyBodies) {
  StartCollecting();
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("streamed|"));
  client.Send("GET /stream HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("streamed|"));
  client.Send("POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("streamed|"));
}

TEST_F(StreamedBodyTest, WhatIsThrownAwayDoesNotEndTheConnection) {
  StartStreaming([this](ExchangePtr exchange) {
    exchange->OnBody([](std::string_view) {});
    loop_->After(milliseconds(30), [exchange] {
      exchange->StartStream(200, {{"Content-Length", "4"}});
      exchange->Write("done");
      exchange->End();
    });
  });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nContent-Length: 4\r\n\r\nrestGET /x HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadReply().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(client.ReadReply().ends_with("plain|"));
}

TEST_F(StreamedBodyTest, OthersAreStillLimited) {
  StartCollecting();
  EXPECT_TRUE(Ask(Cat("POST /plain HTTP/1.1\r\nContent-Length: 101\r\n\r\n", std::string(101, 'x')))
                  .starts_with("HTTP/1.1 413 "));
}

void ReplyWithBody(const ExchangePtr& exchange) {
  auto body = std::make_shared<std::string>();
  exchange->OnBody([exchange, body](std::string_view piece) {
    *body += piece;
    if (piece.empty())
      exchange->Reply(200, {}, *body);
  });
}

TEST_F(StreamedBodyTest, ContinueIsSentWhenTheHandlerWantsTheBody) {
  StartStreaming([this](const ExchangePtr& exchange) {
    loop_->After(milliseconds(30), [exchange] { ReplyWithBody(exchange); });
  });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_TRUE(client.NothingArrives(10));
  EXPECT_EQ(client.ReadHead(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nbody"));
}

TEST_F(StreamedBodyTest, NoContinueWhenTheHandlerRefuses) {
  StartStreaming([](ExchangePtr exchange) { exchange->Reply(404, {}, "no"); });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 404 "));
}

TEST_F(StreamedBodyTest, EarlyAnswerReachesAClientThatStillSends) {
  StartStreaming([](ExchangePtr exchange) { exchange->Reply(507, {}, "full"); });
  RawClient client = Connect();
  std::thread sender([&] {
    client.Send(Cat("POST /stream HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n",
                    std::string(4'000'000, 'x')));
  });
  std::string reply = client.ReadReply();
  sender.join();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 507 ")) << reply;
  EXPECT_NE(reply.find("Connection: close"), std::string::npos);
  EXPECT_EQ(client.last_error(), 0);
}

TEST_F(StreamedBodyTest, PauseHoldsTheClientBack) {
  std::string got;
  ExchangePtr held;
  StartStreaming([&](ExchangePtr exchange) {
    held = exchange;
    exchange->OnBody([&](std::string_view piece) {
      if (piece.empty()) {
        held->Reply(200, {}, Cat(got.size()));
        held.reset();
        return;
      }
      got += piece;
      held->PauseBody(true);
    });
  });
  constexpr size_t kSize = 4'000'000;
  RawClient client = Connect();
  std::thread sender([&] {
    client.Send(Cat("POST /stream HTTP/1.1\r\nContent-Length: ", kSize, "\r\n\r\n",
                    std::string(kSize, 'x')));
  });
  std::this_thread::sleep_for(milliseconds(50));
  OnLoop([&] { EXPECT_LE(got.size(), 20'000u); });
  while (client.NothingArrives(0)) {
    OnLoop([&] {
      if (held) {
        held->PauseBody(false);
      }
    });
  }
  EXPECT_TRUE(client.ReadReply().ends_with("4000000"));
  sender.join();
}

TEST_F(StreamedBodyTest, PausedAtTheEnd) {
  ExchangePtr held;
  int ends = 0;
  StartStreaming([&](ExchangePtr exchange) {
    held = exchange;
    exchange->OnBody([&](std::string_view piece) {
      if (piece.empty()) {
        ++ends;
        held->Reply(200, {}, "end");
      } else {
        held->PauseBody(true);
      }
    });
  });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_TRUE(client.NothingArrives(30));
  OnLoop([&] { held->PauseBody(false); });
  EXPECT_TRUE(client.ReadReply().ends_with("end"));
  OnLoop([&] {
    EXPECT_EQ(ends, 1);
    held.reset();
  });
}

TEST_F(StreamedBodyTest, ClientGoneInTheMiddle) {
  std::promise<std::string> closed[2];
  int count = 0;
  std::string got;
  StartStreaming([&](ExchangePtr exchange) {
    got.clear();
    exchange->OnBody(
        [exchange, &got](std::string_view piece) { got += piece.empty() ? "|end" : piece; });
    exchange->OnClose([&] { closed[count++].set_value(got); });
  });
  for (int i = 0; i < 2; ++i) {
    RawClient client = Connect();
    client.Send("POST /stream HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
    std::this_thread::sleep_for(milliseconds(20));
    if (i == 0) {
      client.ShutdownSending();  // a body cut short, though the client still reads
    } else {
      client.Close();
    }
    EXPECT_EQ(closed[i].get_future().get(), "abc");
  }
}

TEST_F(StreamedBodyTest, BrokenChunkInTheMiddle) {
  std::promise<void> closed;
  StartStreaming([&](ExchangePtr exchange) {
    exchange->OnBody([exchange](std::string_view piece) { EXPECT_EQ(piece, "abc"); });
    exchange->OnClose([&] { closed.set_value(); });
  });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  std::this_thread::sleep_for(milliseconds(20));
  client.Send("zzz\r\n");
  EXPECT_EQ(client.ReadAll(), "");
  closed.get_future().wait();
}

TEST_F(StreamedBodyTest, AnswerStreamsWhileTheBodyComes) {
  StartStreaming([](ExchangePtr exchange) {
    exchange->StartStream(200, {});
    exchange->OnBody([exchange](std::string_view piece) {
      if (piece.empty()) {
        exchange->End();
      } else {
        exchange->Write(piece);
      }
    });
  });
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  client.ReadHead();
  EXPECT_EQ(client.Read(6), "1\r\na\r\n");
  client.Send("1\r\nb\r\n0\r\n\r\n");
  EXPECT_EQ(client.Read(11), "1\r\nb\r\n0\r\n\r\n");
  client.Send("GET /plain HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("plain|"));
}

TEST_F(StreamedBodyTest, DroppedExchange) {
  StartStreaming([](ExchangePtr) {});
  RawClient client = Connect();
  client.Send("POST /stream HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 500 "));
}

}  // namespace
}  // namespace wherry::http
