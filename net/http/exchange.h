// The server's Exchange and Stream: what a handler holds of a connection. Internal to the server.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/server.h"

namespace wherry::http {

class Connection;

// Who gets what arrives on a connection: an exchange or a stream. Called from the loop only, never
// from inside a call of the handler into the connection.
class Consumer {
 public:
  virtual ~Consumer() = default;
  virtual bool WantsInput() const = 0;
  virtual void Input(std::string_view bytes) = 0;
  virtual void InputEnd() = 0;
  virtual void Drained() = 0;  // all output has been sent
  virtual void Gone() = 0;     // the other side is gone
  // True when input may still be delivered after the other side is gone, once it is wanted again.
  virtual bool KeepsInput() const = 0;
};

// A callback that may replace or clear itself, or end its owner, while it runs.
template <class... Arguments>
class Slot {
 public:
  using Function = std::move_only_function<void(Arguments...)>;

  explicit operator bool() const { return set_; }
  void Set(Function function) {
    function_ = std::move(function);
    set_ = static_cast<bool>(function_);
    ++version_;
  }
  void Clear() { Set(nullptr); }
  void Call(Arguments... arguments) {
    if (!function_) {
      return;
    }
    unsigned version = version_;
    Function running = std::move(function_);
    function_ = nullptr;
    running(arguments...);
    if (version == version_) {
      function_ = std::move(running);
    }
  }

 private:
  Function function_;
  bool set_ = false;
  unsigned version_ = 0;
};

class ServerStream final : public Stream, public Consumer {
 public:
  explicit ServerStream(std::shared_ptr<Connection> connection);
  ~ServerStream() override;

  void Write(std::string_view bytes) override;
  size_t pending() const override;
  void OnDrain(std::move_only_function<void()> callback) override;
  void OnData(std::move_only_function<void(std::string_view)> callback) override;
  void PauseReading(bool paused) override;
  void OnReadEnd(std::move_only_function<void()> callback) override;
  void OnClose(std::move_only_function<void()> callback) override;
  void Close() override;

  bool WantsInput() const override { return on_data_ && !paused_; }
  void Input(std::string_view bytes) override { on_data_.Call(bytes); }
  void InputEnd() override { on_read_end_.Call(); }
  void Drained() override { on_drain_.Call(); }
  void Gone() override;
  bool KeepsInput() const override { return static_cast<bool>(on_data_); }

 private:
  void ClearCallbacks();

  std::shared_ptr<Connection> connection_;  // empty once closed
  bool paused_ = false;
  Slot<std::string_view> on_data_;
  Slot<> on_drain_;
  Slot<> on_read_end_;
  Slot<> on_close_;
};

// What the connection knows about a request besides its content.
struct ExchangeFacts {
  bool http_1_1 = true;
  bool keep_alive = true;      // the client's wish
  bool body_streamed = false;  // the body follows through Input
  bool expects_continue = false;
};

class ServerExchange final : public Exchange,
                             public Consumer,
                             public std::enable_shared_from_this<ServerExchange> {
 public:
  ServerExchange(std::shared_ptr<Connection> connection, Request request, ExchangeFacts facts);
  ~ServerExchange() override;

  const Request& request() const override { return request_; }
  Peer peer() const override;
  void Reply(int status, std::vector<Header> headers, std::string body) override;
  void StartStream(int status, std::vector<Header> headers) override;
  void Write(std::string_view bytes) override;
  size_t pending() const override;
  void OnDrain(std::move_only_function<void()> callback) override;
  void End() override;
  std::shared_ptr<Stream> Hijack(std::string head) override;
  void OnBody(std::move_only_function<void(std::string_view)> callback) override;
  void PauseBody(bool paused) override;
  void OnClose(std::move_only_function<void()> callback) override;

  bool WantsInput() const override { return on_body_ && !paused_; }
  void Input(std::string_view bytes) override { on_body_.Call(bytes); }
  void InputEnd() override;
  void Drained() override { on_drain_.Call(); }
  void Gone() override;
  bool KeepsInput() const override { return false; }

 private:
  enum class State : uint8_t { kOpen, kStreaming, kDone };
  enum class Body : uint8_t { kNone, kPlain, kChunked };

  std::string Head(int status, const std::vector<Header>& headers);
  void ClearCallbacks();
  void WantInput();
  void Finish();

  std::shared_ptr<Connection> connection_;  // empty once done
  Request request_;
  ExchangeFacts facts_;
  State state_ = State::kOpen;
  Body body_ = Body::kNone;  // of the answer that is being streamed
  bool keep_alive_ = false;
  bool paused_ = false;
  bool body_ended_;  // the request's body is complete
  bool end_delivered_ = false;
  Slot<std::string_view> on_body_;
  Slot<> on_drain_;
  Slot<> on_close_;
};

}  // namespace wherry::http
