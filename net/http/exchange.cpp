#include "net/http/exchange.h"

#include <array>
#include <charconv>
#include <utility>

#include "core/base/text.h"
#include "net/http/connection.h"
#include "net/http/response_head.h"

namespace wherry::http {

namespace {

// A body up to this size goes out together with the head.
constexpr size_t kSendTogether = 16 << 10;

std::string Chunk(std::string_view bytes) {
  std::array<char, 16> size;
  char* end = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr;
  std::string_view digits(size.data(), static_cast<size_t>(end - size.data()));
  return Cat(digits, "\r\n", bytes, "\r\n");
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// ServerStream

ServerStream::ServerStream(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

ServerStream::~ServerStream() {
  ServerStream::Close();
}

void ServerStream::Write(std::string_view bytes) {
  if (connection_) {
    connection_->Send(std::string(bytes));
  }
}

size_t ServerStream::pending() const {
  return connection_ ? connection_->pending() : 0;
}

void ServerStream::OnDrain(std::move_only_function<void()> callback) {
  if (connection_) {
    on_drain_.Set(std::move(callback));
  }
}

void ServerStream::OnData(std::move_only_function<void(std::string_view)> callback) {
  if (connection_) {
    on_data_.Set(std::move(callback));
    connection_->InputWanted();
  }
}

void ServerStream::PauseReading(bool paused) {
  paused_ = paused;
  if (connection_) {
    connection_->InputWanted();
  }
}

void ServerStream::OnReadEnd(std::move_only_function<void()> callback) {
  if (connection_) {
    on_read_end_.Set(std::move(callback));
  }
}

void ServerStream::OnClose(std::move_only_function<void()> callback) {
  if (connection_) {
    on_close_.Set(std::move(callback));
  }
}

void ServerStream::Close() {
  if (auto connection = std::exchange(connection_, nullptr)) {
    connection->CloseAfterOutput();
    ClearCallbacks();
  }
}

void ServerStream::Gone() {
  connection_.reset();
  on_close_.Call();
  ClearCallbacks();
}

void ServerStream::ClearCallbacks() {
  on_data_.Clear();
  on_drain_.Clear();
  on_read_end_.Clear();
  on_close_.Clear();
}

// ---------------------------------------------------------------------------------------------------------------------
// ServerExchange

ServerExchange::ServerExchange(std::shared_ptr<Connection> connection, Request request,
                               ExchangeFacts facts)
    : connection_(std::move(connection)),
      request_(std::move(request)),
      facts_(facts),
      body_ended_(!facts.body_streamed) {}

ServerExchange::~ServerExchange() {
  if (state_ == State::kOpen) {
    ServerExchange::Reply(500, {{"Content-Type", "application/json"}},
                          R"({"message":"the request was dropped without an answer"})");
  } else if (state_ == State::kStreaming) {
    connection_->CloseAfterOutput();  // without the last chunk: the client can tell
  }
}

Peer ServerExchange::peer() const {
  return connection_ ? connection_->peer() : Peer();
}

std::string ServerExchange::Head(int status, const std::vector<Header>& headers) {
  std::string head = ResponseHead(status, connection_->core().options.common_headers);
  for (const Header& header : headers) {
    AppendHeader(head, header.name, header.value);
  }
  if (!keep_alive_) {
    AppendHeader(head, "Connection", "close");
  } else if (!facts_.http_1_1) {
    AppendHeader(head, "Connection", "keep-alive");
  }
  return head;
}

void ServerExchange::Reply(int status, std::vector<Header> headers, std::string body) {
  if (state_ != State::kOpen) {
    return;
  }
  keep_alive_ = facts_.keep_alive && body_ended_ && !connection_->core().stopping;
  std::string head = Head(status, headers);
  if (StatusHasBody(status) && FindHeader(headers, "Content-Length").empty()) {
    AppendHeader(head, "Content-Length", Cat(body.size()));
  }
  head += "\r\n";
  if (!StatusHasBody(status) || request_.method == "HEAD") {
    body.clear();
  }
  if (body.size() <= kSendTogether) {
    connection_->Send(head.append(body));
  } else {
    connection_->Send(std::move(head));
    connection_->Send(std::move(body));
  }
  Finish();
}

void ServerExchange::StartStream(int status, std::vector<Header> headers) {
  if (state_ != State::kOpen) {
    return;
  }
  state_ = State::kStreaming;
  keep_alive_ = facts_.keep_alive && !connection_->core().stopping;
  bool has_body = StatusHasBody(status) && request_.method != "HEAD";
  bool length_known = !FindHeader(headers, "Content-Length").empty();
  body_ = !has_body                          ? Body::kNone
          : facts_.http_1_1 && !length_known ? Body::kChunked
                                             : Body::kPlain;
  if (body_ == Body::kPlain && !length_known) {
    keep_alive_ = false;  // HTTP/1.0: the end of the connection ends the body
  }
  std::string head = Head(status, headers);
  if (body_ == Body::kChunked) {
    AppendHeader(head, "Transfer-Encoding", "chunked");
  }
  connection_->Send(head.append("\r\n"));
}

void ServerExchange::Write(std::string_view bytes) {
  if (state_ != State::kStreaming || bytes.empty() || body_ == Body::kNone) {
    return;
  }
  connection_->Send(body_ == Body::kChunked ? Chunk(bytes) : std::string(bytes));
}

size_t ServerExchange::pending() const {
  return connection_ ? connection_->pending() : 0;
}

void ServerExchange::End() {
  if (state_ != State::kStreaming) {
    return;
  }
  if (body_ == Body::kChunked) {
    connection_->Send("0\r\n\r\n");
  }
  Finish();
}

std::shared_ptr<Stream> ServerExchange::Hijack(std::string head) {
  auto connection = std::exchange(connection_, nullptr);
  bool usable = state_ == State::kOpen && body_ended_;
  state_ = State::kDone;
  auto stream = std::make_shared<ServerStream>(usable ? connection : nullptr);
  if (usable) {
    connection->BecomeStream(stream);
    connection->Send(std::move(head));
  } else if (connection) {
    connection->CloseAfterOutput();
  }
  ClearCallbacks();
  return stream;
}

void ServerExchange::Finish() {
  state_ = State::kDone;
  auto connection = std::exchange(connection_, nullptr);
  connection->FinishExchange(keep_alive_ ? Connection::After::kNextRequest
                                         : Connection::After::kClose);
  ClearCallbacks();
}

void ServerExchange::Gone() {
  state_ = State::kDone;
  connection_.reset();
  on_close_.Call();
  ClearCallbacks();
}

void ServerExchange::ClearCallbacks() {
  on_body_.Clear();
  on_drain_.Clear();
  on_close_.Clear();
}

void ServerExchange::OnDrain(std::move_only_function<void()> callback) {
  if (connection_) {
    on_drain_.Set(std::move(callback));
  }
}

void ServerExchange::OnClose(std::move_only_function<void()> callback) {
  if (connection_) {
    on_close_.Set(std::move(callback));
  }
}

void ServerExchange::OnBody(std::move_only_function<void(std::string_view)> callback) {
  if (connection_) {
    on_body_.Set(std::move(callback));
    WantInput();
  }
}

void ServerExchange::PauseBody(bool paused) {
  paused_ = paused;
  WantInput();
}

void ServerExchange::WantInput() {
  if (!connection_) {
    return;
  }
  if (!body_ended_) {
    if (WantsInput() && std::exchange(facts_.expects_continue, false) && state_ == State::kOpen) {
      connection_->Send("HTTP/1.1 100 Continue\r\n\r\n");
    }
    connection_->InputWanted();
  } else if (WantsInput() && !end_delivered_) {
    connection_->core().loop->Post([self = shared_from_this()] { self->InputEnd(); });
  }
}

void ServerExchange::InputEnd() {
  body_ended_ = true;
  if (WantsInput() && !std::exchange(end_delivered_, true)) {
    on_body_.Call({});
  }
}

}  // namespace wherry::http
