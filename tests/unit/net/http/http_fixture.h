// A server on a loop thread of its own, and a raw client that says exactly what it is told to.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "core/base/file.h"
#include "core/base/loop.h"
#include "core/base/text.h"
#include "net/http/server.h"

namespace wherry::http {

class RawClient {
 public:
  explicit RawClient(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    fd_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    timeval limit{20, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  // False when the server takes no more.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }

  // Up to and with `mark`; what comes after it is kept.
  std::string ReadUntil(std::string_view mark) {
    size_t at;
    while ((at = kept_.find(mark)) == std::string::npos) {
      if (!Receive()) {
        return std::exchange(kept_, {});
      }
    }
    std::string out = kept_.substr(0, at + mark.size());
    kept_.erase(0, at + mark.size());
    return out;
  }
  std::string Read(size_t count) {
    while (kept_.size() < count && Receive()) {
    }
    std::string out = kept_.substr(0, count);
    kept_.erase(0, count);
    return out;
  }
  // Until the server closes.
  std::string ReadAll() {
    while (Receive()) {
    }
    return std::exchange(kept_, {});
  }
  std::string ReadHead() { return ReadUntil("\r\n\r\n"); }
  // Head and body by Content-Length.
  std::string ReadReply() {
    std::string head = ReadHead();
    size_t at = head.find("Content-Length: ");
    size_t length = at == std::string::npos ? 0 : strtoul(head.c_str() + at + 16, nullptr, 10);
    return head + Read(length);
  }
  bool NothingArrives(int milliseconds) {
    pollfd wait{fd_.get(), POLLIN, 0};
    return kept_.empty() && poll(&wait, 1, milliseconds) == 0;
  }

  void FreeBuffer() { std::string().swap(kept_); }

  void ShutdownSending() { shutdown(fd_.get(), SHUT_WR); }
  void Close() { fd_.Reset(); }
  int fd() const { return fd_.get(); }
  int last_error() const { return last_error_; }

 private:
  bool Receive() {
    char buffer[65536];
    ssize_t count = recv(fd_.get(), buffer, sizeof(buffer), 0);
    last_error_ = count < 0 ? errno : 0;
    if (count > 0) {
      kept_.append(buffer, static_cast<size_t>(count));
    }
    return count > 0;
  }

  UniqueFd fd_;
  std::string kept_;
  int last_error_ = 0;
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = Cat(testing::TempDir(), "/wherry-http-XXXXXX");
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    path_ = Cat(dir_, "/sock");
    loop_ = std::move(*Loop::Create());
  }

  void TearDown() override {
    if (thread_.joinable()) {
      OnLoop([this] { server_.reset(); });
      loop_->Stop();
      thread_.join();
    }
    EXPECT_TRUE(RemoveTree(dir_));
  }

  void Start(Server::Handler handler, Server::StreamsBody streams_body = nullptr,
             ServerOptions options = {}) {
    server_ = Server::Create(loop_.get(), std::move(options), std::move(streams_body),
                             std::move(handler));
    auto listener = ListenUnix(path_, 0600, "");
    ASSERT_TRUE(listener) << listener.error().message();
    ASSERT_TRUE(server_->Listen(std::move(*listener)));
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->Run()); });
  }

  // Answers every request with "METHOD path|body".
  void StartEcho(ServerOptions options = {}) {
    Start(
        [](ExchangePtr exchange) {
          const Request& request = exchange->request();
          exchange->Reply(200, {}, Cat(request.method, " ", request.path, "|", request.body));
        },
        nullptr, std::move(options));
  }

  // Runs `action` on the loop thread and waits for it.
  template <class Action>
  void OnLoop(Action action) {
    std::promise<void> done;
    loop_->Post([&] {
      action();
      done.set_value();
    });
    done.get_future().wait();
  }

  RawClient Connect() { return RawClient(path_); }
  // One request on a fresh connection, everything until the server closes.
  std::string Ask(std::string_view request) {
    RawClient client = Connect();
    client.Send(request);
    client.ShutdownSending();
    return client.ReadAll();
  }

  std::string dir_;
  std::string path_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace wherry::http
