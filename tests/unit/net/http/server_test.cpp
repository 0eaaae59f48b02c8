#include "net/http/server.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>

#include "tests/unit/net/http/http_fixture.h"

namespace wherry::http {
namespace {

using std::chrono::milliseconds;

TEST(Request, FlagsAndParameters) {
  Request request;
  request.query = {{"a", "1"},  {"b", "False"}, {"c", ""}, {"d", "NONE"},
                   {"e", "no"}, {"f", "0"},     {"g", "x"}};
  request.headers = {{"Content-Type", "text/plain"}, {"content-type", "second"}};
  EXPECT_TRUE(request.flag("a"));
  EXPECT_TRUE(request.flag("g"));
  for (std::string_view name : {"b", "c", "d", "e", "f"}) {
    EXPECT_FALSE(request.flag(name, true)) << name;
  }
  EXPECT_FALSE(request.flag("missing"));
  EXPECT_TRUE(request.flag("missing", true));
  EXPECT_TRUE(request.has_param("c"));
  EXPECT_FALSE(request.has_param("missing"));
  EXPECT_EQ(request.param("g"), "x");
  EXPECT_EQ(request.header("CONTENT-TYPE"), "text/plain");
  EXPECT_EQ(request.header("Accept"), "");
}

TEST_F(ServerTest, HandlerSeesTheRequest) {
  Start([](ExchangePtr exchange) {
    const Request& request = exchange->request();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1.47/images/a%2Fb/json");
    EXPECT_EQ(request.param("fromImage"), "a b/c+d");
    EXPECT_EQ(request.param("empty"), "");
    EXPECT_TRUE(request.has_param("bare"));
    EXPECT_EQ(request.query.count("t"), 2u);
    EXPECT_EQ(request.header("x-registry-auth"), "abc");
    EXPECT_EQ(request.body, "hello");
    EXPECT_EQ(exchange->peer().pid, getpid());
    EXPECT_EQ(exchange->peer().uid, getuid());
    exchange->Reply(201, {{"Location", "/x"}}, "made");
  });
  std::string reply =
      Ask("POST /v1.47/images/a%2Fb/json?fromImage=a+b%2Fc%2Bd&empty=&bare&&t=1&t=2 HTTP/1.1\r\n"
          "Host: docker\r\nX-Registry-Auth: abc\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(reply, "HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nmade");
}

TEST_F(ServerTest, CommonHeadersAndNoInjection) {
  ServerOptions options;
  options.common_headers = {{"Api-Version", "1.47"}};
  Start([](ExchangePtr exchange) { exchange->Reply(200, {{"Warning", "a\r\nSet-Cookie: b"}}, ""); },
        nullptr, std::move(options));
  EXPECT_EQ(Ask("GET / HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nWarning: a  Set-Cookie: b\r\nContent-Length: "
            "0\r\n\r\n");
  EXPECT_NE(Ask("garbage\r\n\r\n").find("Api-Version: 1.47\r\n"), std::string::npos);
}

TEST_F(ServerTest, AbsoluteTargetsAndFragments) {
  StartEcho();
  EXPECT_TRUE(Ask("GET http://docker/a?b=c HTTP/1.1\r\n\r\n").ends_with("GET /a|"));
  EXPECT_TRUE(Ask("GET http://docker HTTP/1.1\r\n\r\n").ends_with("GET /|"));
  EXPECT_TRUE(Ask("GET /a#b?c HTTP/1.1\r\n\r\n").ends_with("GET /a|"));
  EXPECT_TRUE(Ask("OPTIONS * HTTP/1.1\r\n\r\n").ends_with("OPTIONS *|"));
}

TEST_F(ServerTest, NoBodyWhereNoneMayBe) {
  Start([](ExchangePtr exchange) {
    int status = exchange->request().path == "/304"   ? 304
                 : exchange->request().path == "/204" ? 204
                                                      : 200;
    exchange->Reply(status, {}, "body");
  });
  EXPECT_EQ(Ask("HEAD /200 HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(Ask("GET /204 HTTP/1.1\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_EQ(Ask("GET /304 HTTP/1.1\r\n\r\n"), "HTTP/1.1 304 Not Modified\r\n\r\n");
}

TEST_F(ServerTest, KeepAlive) {
  StartEcho();
  RawClient client = Connect();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client.Send(Cat("POST /", i, " HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")));
    ASSERT_TRUE(client.ReadReply().ends_with(Cat("POST /", i, "|abc")));
  }
  client.Send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  std::string last = client.ReadAll();
  EXPECT_NE(last.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(last.ends_with("GET /|"));
}

TEST_F(ServerTest, Http10) {
  StartEcho();
  RawClient client = Connect();
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_NE(client.ReadAll().find("Connection: close"), std::string::npos);
  RawClient keeping = Connect();
  for (int i = 0; i < 3; ++i) {
    keeping.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_NE(keeping.ReadReply().find("Connection: keep-alive"), std::string::npos);
  }
}

TEST_F(ServerTest, ByteByByte) {
  StartEcho();
  RawClient client = Connect();
  for (char c :
       std::string_view("\r\n\r\nPUT /slow?q=%20 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")) {
    ASSERT_TRUE(client.Send(std::string_view(&c, 1)));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  EXPECT_TRUE(client.ReadReply().ends_with("PUT /slow|abcde"));
}

TEST_F(ServerTest, PipelinedAnswersKeepTheirOrder) {
  Start([this](ExchangePtr exchange) {
    std::string path = exchange->request().path;
    if (path == "/1") {  // the slow one first
      loop_->After(milliseconds(30), [exchange] { exchange->Reply(200, {}, "one"); });
      return;
    }
    exchange->Reply(200, {}, path);
  });
  RawClient client = Connect();
  client.Send(
      "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxyGET /3 "
      "HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("one"));
  EXPECT_TRUE(client.ReadReply().ends_with("/2"));
  EXPECT_TRUE(client.ReadReply().ends_with("/3"));
}

TEST_F(ServerTest, ManyPipelinedRequests) {
  StartEcho();
  constexpr int kCount = 5000;
  RawClient client = Connect();
  std::thread sender([&] {
    std::string requests;
    for (int i = 0; i < kCount; ++i) {
      Append(requests, "GET /", i, " HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    EXPECT_TRUE(client.Send(requests));
  });
  RawClient& reader = client;
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(reader.ReadReply().ends_with(Cat("GET /", i, "|")));
  }
  sender.join();
}

TEST_F(ServerTest, PipeliningClientThatDoesNotReadIsHeldBack) {
  std::atomic<int> handled = 0;
  Start([&](ExchangePtr exchange) {
    ++handled;
    exchange->Reply(200, {}, std::string(100'000, 'x'));
  });
  RawClient client = Connect();
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    requests += "GET / HTTP/1.1\r\n\r\n";
  }
  client.Send(requests);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_LT(handled, 20);
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(client.ReadReply().size(), 100'000 + 43u);
  }
  EXPECT_EQ(handled, 500);
}

TEST_F(ServerTest, LargeBufferedBody) {
  StartEcho();
  std::string body(3 << 20, 'b');
  RawClient client = Connect();
  std::thread sender([&] {
    client.Send(Cat("POST / HTTP/1.1\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  });
  std::string reply = client.ReadReply();
  sender.join();
  EXPECT_TRUE(reply.ends_with(body));
}

TEST_F(ServerTest, TooLargeBodies) {
  ServerOptions options;
  options.max_body_bytes = 10;
  StartEcho(std::move(options));
  EXPECT_TRUE(
      Ask("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789").ends_with("|0123456789"));
  std::string announced = Ask("POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n01234567890");
  EXPECT_TRUE(announced.starts_with("HTTP/1.1 413 ")) << announced;
  EXPECT_NE(announced.find("{\"message\":\"the request body is larger than 10 bytes\"}"),
            std::string::npos);
  std::string chunked =
      Ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n");
  EXPECT_TRUE(chunked.starts_with("HTTP/1.1 413 ")) << chunked;
  // No invitation to send what will be refused.
  std::string expecting =
      Ask("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
  EXPECT_TRUE(expecting.starts_with("HTTP/1.1 413 ")) << expecting;
  // The huge rest of a refused body does not hide the answer.
  RawClient client = Connect();
  std::thread sender([&] {
    client.Send(
        Cat("POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n", std::string(8'000'000, 'x')));
  });
  EXPECT_TRUE(client.ReadReply().starts_with("HTTP/1.1 413 "));
  sender.join();
  EXPECT_EQ(client.last_error(), 0);
}

TEST_F(ServerTest, TooLargeHeads) {
  ServerOptions options;
  options.max_head_bytes = 4096;
  StartEcho(std::move(options));
  EXPECT_TRUE(Ask(Cat("GET / HTTP/1.1\r\nA: ", std::string(5000, 'x'), "\r\n\r\n"))
                  .starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(Ask(Cat("GET / HTTP/1.1\r\n", std::string(5000, 'x'), ": a\r\n\r\n"))
                  .starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(
      Ask(Cat("GET /", std::string(5000, 'x'), " HTTP/1.1\r\n\r\n")).starts_with("HTTP/1.1 414 "));
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 500; ++i) {
    many += "a:\r\n";
  }
  EXPECT_TRUE(Ask(many + "\r\n").starts_with("HTTP/1.1 431 "));
}

TEST_F(ServerTest, ExpectContinue) {
  StartEcho();
  RawClient client = Connect();
  client.Send("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(client.ReadHead(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_TRUE(client.ReadReply().ends_with("POST /|body"));
  client.Send(
      "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");  // without body: nothing to continue
  EXPECT_TRUE(client.ReadReply().starts_with("HTTP/1.1 200 "));
  client.Send("POST / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 4\r\n\r\n");
  EXPECT_TRUE(client.ReadAll().starts_with("HTTP/1.1 417 "));
}

TEST_F(ServerTest, GarbageIsRefused) {
  StartEcho();
  constexpr std::string_view kRows[] = {
      "\r\nGARBAGE\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
      "GET / HTTP/1.1\r\n: x\r\n\r\n",
      "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
      "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
      "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
      "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
      "GET /?a=%zz HTTP/1.1\r\n\r\n",
      "GET /?a=%00 HTTP/1.1\r\n\r\n",
      "CONNECT host:80 HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\x02\x01\x01\xfc\x03",
      "GET / HTTP/1.1\nHost: x\n\n",
      "GET / HTTP/1.1\r\nA: b\r\n folded\x01\r\n\r\n",
  };
  for (std::string_view row : kRows) {
    std::string reply = Ask(row);
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 ") || reply.starts_with("HTTP/1.1 505 "))
        << row << " -> " << reply;
    EXPECT_NE(reply.find("\r\nConnection: close\r\n"), std::string::npos);
    EXPECT_NE(reply.find("{\"message\":\""), std::string::npos);
  }
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, RandomBytesNeverCrash) {
  StartEcho();
  unsigned seed = 12345;
  for (int i = 0; i < 200; ++i) {
    std::string bytes = i % 2 == 0 ? "POST / HTTP/1.1\r\n" : "";
    for (int j = 0; j < 300; ++j) {
      seed = seed * 1103515245 + 12345;
      bytes += static_cast<char>(seed >> 16);
    }
    Ask(bytes);
  }
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, HalfClosedClientGetsItsAnswer) {
  Start([this](ExchangePtr exchange) {
    exchange->OnClose([] { ADD_FAILURE() << "the client still reads"; });
    loop_->After(milliseconds(30), [exchange] { exchange->Reply(200, {}, "late"); });
  });
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\n\r\n").ends_with("late"));
}

TEST_F(ServerTest, ClientGoneMidRequest) {
  StartEcho();
  EXPECT_EQ(Ask("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nab"), "");
  EXPECT_EQ(Ask("GET / HT"), "");
  EXPECT_EQ(Ask(""), "");
}

TEST_F(ServerTest, RequestOfAClientThatLeftIsStillServed) {
  std::promise<std::string> served;
  Start([&](ExchangePtr exchange) {
    served.set_value(exchange->request().path);
    exchange->Reply(204, {}, "");
  });
  {
    RawClient client = Connect();
    client.Send("POST /kill HTTP/1.1\r\n\r\n");
  }
  EXPECT_EQ(served.get_future().get(), "/kill");
}

TEST_F(ServerTest, StreamedAnswer) {
  ExchangePtr held;
  Start([&](ExchangePtr exchange) {
    exchange->StartStream(200, {{"Content-Type", "application/json"}});
    held = std::move(exchange);
  });
  RawClient client = Connect();
  client.Send("GET /events HTTP/1.1\r\n\r\n");
  // The head does not wait for the first piece.
  EXPECT_EQ(
      client.ReadHead(),
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_TRUE(client.NothingArrives(10));
  OnLoop([&] { held->Write("{\"a\":1}\n"); });
  EXPECT_EQ(client.Read(13), "8\r\n{\"a\":1}\n\r\n");
  OnLoop([&] {
    held->Write("");  // not the end
    held->Write(std::string(20, 'x'));
    held->End();
    held->End();
    held->Write("after");
    held->Reply(200, {}, "again");
    held.reset();
  });
  EXPECT_EQ(client.Read(31), Cat("14\r\n", std::string(20, 'x'), "\r\n0\r\n\r\n"));
  client.Send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");  // the connection goes on
  EXPECT_TRUE(client.ReadHead().starts_with("HTTP/1.1 200 OK"));
  OnLoop([&] {
    held->End();
    held.reset();
  });
  EXPECT_EQ(client.ReadAll(), "0\r\n\r\n");
}

TEST_F(ServerTest, StreamedAnswerVariants) {
  Start([](ExchangePtr exchange) {
    std::vector<Header> headers;
    if (exchange->request().path == "/length") {
      headers.push_back({"Content-Length", "4"});
    }
    exchange->StartStream(exchange->request().path == "/204" ? 204 : 200, headers);
    exchange->Write("ab");
    exchange->Write("cd");
    exchange->End();
  });
  EXPECT_EQ(Ask("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd");
  EXPECT_EQ(Ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd");
  EXPECT_EQ(Ask("GET /length HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
  EXPECT_EQ(Ask("HEAD / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(Ask("GET /204 HTTP/1.1\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST_F(ServerTest, StreamIsToldWhenTheClientLeaves) {
  std::promise<void> closed;
  ExchangePtr held;
  Start([&](ExchangePtr exchange) {
    exchange->StartStream(200, {});
    exchange->OnClose([&] { closed.set_value(); });  // a second call would throw
    held = std::move(exchange);
  });
  RawClient client = Connect();
  client.Send("GET /events HTTP/1.1\r\n\r\n");
  client.ReadHead();
  client.Close();
  closed.get_future().wait();
  OnLoop([&] {
    held->Write("vanishes");
    EXPECT_EQ(held->pending(), 0u);
    EXPECT_EQ(held->peer().uid, UINT32_MAX);
    held->End();
    held->Reply(500, {}, "");
    held->OnDrain([] {});
    held.reset();
  });
}

TEST_F(ServerTest, SlowReaderIsFollowedByDrainEvents) {
  constexpr size_t kTotal = 16 << 20;
  constexpr size_t kPiece = 64 << 10;
  struct Producer {
    ExchangePtr exchange;
    size_t sent = 0;
    size_t most_pending = 0;
    void Fill() {
      while (sent < kTotal && exchange->pending() == 0) {
        exchange->Write(std::string(kPiece, 'p'));
        sent += kPiece;
        most_pending = std::max(most_pending, exchange->pending());
      }
      if (sent == kTotal && exchange->pending() == 0) {
        exchange->End();
      }
    }
  } producer;
  Start([&](ExchangePtr exchange) {
    producer.exchange = exchange;
    exchange->StartStream(200, {});
    exchange->OnDrain([&] { producer.Fill(); });
    producer.Fill();
  });
  RawClient client = Connect();
  client.Send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(50));
  OnLoop([&] { EXPECT_LT(producer.sent, kTotal); });
  std::string all = client.ReadAll();
  EXPECT_GT(all.size(), kTotal);
  EXPECT_TRUE(all.ends_with("p\r\n0\r\n\r\n"));
  OnLoop([&] {
    EXPECT_LE(producer.most_pending, kPiece + 16);
    producer.exchange.reset();
  });
}

TEST_F(ServerTest, UnansweredExchangesAreAnswered) {
  Start([](ExchangePtr exchange) {
    if (exchange->request().path == "/stream") {
      exchange->StartStream(200, {});
      exchange->Write("ab");
    }
  });
  std::string reply = Ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 500 ")) << reply;
  std::string cut = Ask("GET /stream HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(cut.ends_with("\r\n\r\n2\r\nab\r\n")) << cut;  // no last chunk
}

TEST_F(ServerTest, AnswerFromAnotherThreadByPost) {
  std::vector<std::thread> threads;
  Start([&](ExchangePtr exchange) {
    threads.emplace_back([this, exchange]() mutable {
      loop_->Post([exchange = std::move(exchange)] { exchange->Reply(200, {}, "posted"); });
    });
  });
  RawClient client = Connect();
  for (int i = 0; i < 20; ++i) {
    client.Send("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(client.ReadReply().ends_with("posted"));
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_F(ServerTest, StopFinishesWhatRuns) {
  ExchangePtr held;
  std::promise<void> arrived;
  Start([&](ExchangePtr exchange) {
    held = std::move(exchange);
    arrived.set_value();
  });
  RawClient idle = Connect();
  RawClient busy = Connect();
  busy.Send("GET / HTTP/1.1\r\n\r\n");
  arrived.get_future().wait();
  OnLoop([&] { server_->Stop(); });
  EXPECT_EQ(idle.ReadAll(), "");
  OnLoop([&] {
    held->Reply(200, {}, "done");
    held.reset();
  });
  std::string reply = busy.ReadAll();
  EXPECT_TRUE(reply.ends_with("done"));
  EXPECT_NE(reply.find("Connection: close"), std::string::npos);
}

TEST_F(ServerTest, ExchangesOutliveTheServer) {
  ExchangePtr held;
  bool closed = false;
  std::promise<void> arrived;
  Start([&](ExchangePtr exchange) {
    exchange->OnClose([&] { closed = true; });
    held = std::move(exchange);
    arrived.set_value();
  });
  RawClient client = Connect();
  client.Send("GET / HTTP/1.1\r\n\r\n");
  arrived.get_future().wait();
  OnLoop([&] {
    server_.reset();
    EXPECT_TRUE(closed);
    held->Reply(200, {}, "nobody");
    held.reset();
  });
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(ServerTest, IdleConnectionsAreCheap) {
  StartEcho();
  constexpr size_t kCount = 400;
  std::vector<RawClient> clients;
  clients.reserve(kCount);
  auto one = [&] {
    clients.push_back(Connect());
    clients.back().Send(
        Cat("POST / HTTP/1.1\r\nContent-Length: 20000\r\n\r\n", std::string(20000, 'x')));
    EXPECT_TRUE(clients.back().ReadReply().ends_with("xxx"));
    clients.back().FreeBuffer();
  };
  auto used = [&] {
    size_t bytes = 0;
    OnLoop([&] { bytes = mallinfo2().uordblks; });
    return bytes;
  };
  one();
  size_t before = used();
  for (size_t i = 1; i < kCount; ++i) {
    one();
  }
  size_t after = used();
  RecordProperty("bytes_per_idle_connection", static_cast<int>((after - before) / (kCount - 1)));
  EXPECT_LT((after - before) / (kCount - 1), 1024u);
}

}  // namespace
}  // namespace wherry::http
