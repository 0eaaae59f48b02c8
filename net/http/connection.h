// One connection of the server: channel, output buffer, and the turn-taking of requests.
// Internal to the server.
//
// Rules that keep memory bounded and handlers simple: one request at a time; the next one is not
// read before the answer has been sent; nothing is received that nobody wants; an idle connection
// holds no buffers; callbacks of handlers run from the loop only.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "net/http/exchange.h"
#include "net/http/request_reader.h"
#include "net/http/server.h"
#include "net/tls/channel.h"

namespace wherry::http {

// What all connections of a server share. A connection that an exchange or a stream still holds may
// outlive the server, closed; the loop outlives both.
struct ServerCore {
  Loop* loop = nullptr;
  ServerOptions options;
  Server::StreamsBody streams_body;
  Server::Handler handler;
  std::set<std::shared_ptr<Connection>> connections;
  bool stopping = false;
  size_t remotes = 0;  // connections with TLS
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<tls::Channel> channel);
  ~Connection();

  Result<> Start();
  // Closes when no request is being read or answered.
  void CloseIfIdle();
  // Closes whatever goes on and tells the consumer.
  void Abort();

  // For the consumer.
  const ServerCore& core() const { return *core_; }
  Peer peer() const;
  void Send(std::string bytes);
  size_t pending() const { return output_.size() - output_taken_; }
  // The consumer's WantsInput() may have changed.
  void InputWanted();
  // The answer is complete.
  enum class After : uint8_t { kNextRequest, kClose };
  void FinishExchange(After after);
  // From here on raw bytes for `consumer`.
  void BecomeStream(std::weak_ptr<Consumer> consumer);
  // Sends what is pending, tells the other side the end, waits a moment for it to close, closes.
  void CloseAfterOutput();

 private:
  enum class Mode : uint8_t { kRequests, kStream, kLinger };

  void OnEvents(uint32_t events);
  void Receive();
  void ReceivedEnd();
  void HandshakeFailed();
  void HangUp();
  void Flush();
  void StartLinger();
  void Close();
  void UpdateInterest();
  void SendPending();
  bool WantsInput() const;
  bool WantsToReceive() const;
  void HandleInput();
  void HandleRequestInput();
  bool AcceptHead();
  void HandleBody(bool complete);
  void Dispatch(ExchangeFacts facts);
  void Refuse(int status, std::string_view reason);
  void ConsumeInput(size_t count);

  std::shared_ptr<ServerCore> core_;
  std::unique_ptr<tls::Channel> channel_;  // absent once closed
  bool remote_;                            // TLS
  Mode mode_ = Mode::kRequests;
  bool exchange_active_ = false;
  bool handling_input_ = false;
  bool watched_ = false;
  bool hung_up_ = false;     // both directions are gone, unread input may be left
  bool read_ended_ = false;  // the other side sends no more
  bool had_output_ = false;  // something was pending since the consumer was last told
  uint32_t interest_ = 0;
  Loop::TimerId linger_timer_ = 0;
  Loop::TimerId handshake_timer_ = 0;
  std::unique_ptr<RequestReader> reader_;  // absent between requests
  std::weak_ptr<Consumer> consumer_;
  std::string input_;
  size_t input_taken_ = 0;
  std::string output_;
  size_t output_taken_ = 0;
};

}  // namespace wherry::http
