// A client on a loop, with what it was told.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/base/loop.h"
#include "core/base/text.h"
#include "net/mqtt/client.h"

namespace wherry::mqtt {

class ClientTest : public testing::Test, public ClientUser {
 protected:
  void SetUp() override {
    loop_ = std::move(*Loop::Create());
    options_.client_id = "device-1";
    options_.target.host = "127.0.0.1";
    options_.backoff.most = std::chrono::milliseconds(50);
    options_.backoff.first = std::chrono::milliseconds(50);
  }
  void TearDown() override { client_.reset(); }

  void StartClient() {
    client_ = std::make_unique<Client>(loop_.get(), options_, this);
    client_->Start();
  }

  // Runs until `done` says so; it is asked after each callback and every 10 ms.
  void RunUntil(std::function<bool()> done, int seconds = 20) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    std::function<void()> check = [&] {
      if (done() || std::chrono::steady_clock::now() > end)
        return loop_->Stop();
      loop_->After(std::chrono::milliseconds(10), [&] { check(); });
    };
    check();
    ASSERT_TRUE(loop_->Run());
    EXPECT_TRUE(done()) << "it did not happen; last error: " << last_error();
  }
  void RunFor(std::chrono::milliseconds time) {
    loop_->After(time, [this] { loop_->Stop(); });
    ASSERT_TRUE(loop_->Run());
  }

  // The result of a Publish or Subscribe: "" while open, "ok", or the error.
  Done Into(std::string& result) {
    return [&result](Result<> outcome) { result = outcome ? "ok" : outcome.error().message(); };
  }

  void OnConnected(bool session_present) override {
    ++connected_;
    session_present_ = session_present;
  }
  void OnDisconnected(const Error& error, std::chrono::milliseconds) override {
    errors_.push_back(error.message());
  }
  Acknowledge OnMessage(const Publish& message, uint64_t ticket) override {
    messages_.push_back(message);
    tickets_.push_back(ticket);
    if (on_message_)
      on_message_(message);
    return acknowledge_;
  }
  std::string last_error() const { return errors_.empty() ? "" : errors_.back(); }

  std::unique_ptr<Loop> loop_;
  ClientOptions options_;
  std::unique_ptr<Client> client_;
  int connected_ = 0;
  bool session_present_ = false;
  std::vector<std::string> errors_;
  std::vector<Publish> messages_;
  std::vector<uint64_t> tickets_;
  Acknowledge acknowledge_ = Acknowledge::kNow;
  std::function<void(const Publish&)> on_message_;
};

}  // namespace wherry::mqtt
