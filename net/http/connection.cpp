#include "net/http/connection.h"

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <utility>

#include "core/base/text.h"
#include "net/http/response_head.h"

namespace wherry::http {

namespace {

constexpr std::chrono::seconds kHandshakeLimit{10};
// How long a closed connection waits for the other side to notice. Closing at once with unread
// input would make the kernel report a reset instead of the end of our output.
constexpr std::chrono::seconds kLingerLimit{2};
constexpr size_t kCompactAbove = 64 << 10;

// Empties a buffer and gives its memory back, which assigning an empty string does not.
void Free(std::string& buffer, size_t& taken) {
  std::string().swap(buffer);
  taken = 0;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<tls::Channel> channel)
    : core_(std::move(core)), channel_(std::move(channel)), remote_(!channel_->connected()) {
  if (remote_)
    ++core_->remotes;
}

Connection::~Connection() {
  if (remote_)
    --core_->remotes;
}

Result<> Connection::Start() {
  interest_ = channel_->Events(true, false);
  TRY(core_->loop->Add(channel_->fd(), interest_, [this](uint32_t events) { OnEvents(events); }));
  watched_ = true;
  if (remote_) {
    handshake_timer_ = core_->loop->After(kHandshakeLimit, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self && self->channel_ && !self->channel_->connected())
        self->Abort();
    });
  }
  return {};
}

Peer Connection::peer() const {
  if (channel_ && remote_) {
    Peer peer;
    peer.remote = true;
    if (const tls::PeerName* name = channel_->peer_name())
      peer.certificate_name = name->common_name;
    return peer;
  }
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (!channel_ || getsockopt(channel_->fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return {};
  }
  Peer peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.remote = remote_;  // closed meanwhile: without a name it may do nothing
  return peer;
}

// ---------------------------------------------------------------------------------------------------------------------
// Events

void Connection::OnEvents(uint32_t events) {
  auto self = shared_from_this();
  if (channel_ && channel_->MaySend(events)) {
    Flush();
  }
  if (!channel_) {
    return;
  }
  bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  bool readable = gone || (events & EPOLLIN) != 0 || !channel_->connected();
  if (readable && WantsToReceive()) {
    Receive();
  } else if (gone) {
    HangUp();
  }
  HandleInput();
}

bool Connection::WantsInput() const {
  bool between_requests = mode_ == Mode::kRequests && !exchange_active_;
  if (between_requests || mode_ == Mode::kLinger) {
    return pending() == 0;
  }
  if (mode_ == Mode::kRequests && !reader_) {
    return false;  // the request is complete; the next one waits for the answer
  }
  auto consumer = consumer_.lock();
  return consumer && consumer->WantsInput();
}

bool Connection::WantsToReceive() const {
  return !read_ended_ && input_.empty() && WantsInput();
}

void Connection::Receive() {
  std::array<char, tls::kRecordBytes> buffer;
  bool connected = channel_->connected();
  tls::IoResult result = channel_->Receive(buffer);
  if (!connected && channel_->connected()) {
    core_->loop->Cancel(std::exchange(handshake_timer_, 0));
  }
  if (result.io == tls::Io::kDone && mode_ != Mode::kLinger) {
    input_.assign(buffer.data(), result.count);
  } else if (result.io == tls::Io::kEnd) {
    ReceivedEnd();
  } else if (result.io == tls::Io::kError && !channel_->connected() && mode_ != Mode::kLinger) {
    HandshakeFailed();
  } else if (result.io == tls::Io::kError) {
    HangUp();
  }
}

// The client may have been told why: it gets the time to read it.
void Connection::HandshakeFailed() {
  core_->loop->Cancel(std::exchange(handshake_timer_, 0));
  if (core_->options.on_refused) {
    core_->options.on_refused(channel_->error());
  }
  CloseAfterOutput();
}

void Connection::ReceivedEnd() {
  read_ended_ = true;
  if (mode_ != Mode::kStream) {
    Abort();  // between requests, in the middle of one, or lingering: nothing more can follow
    return;
  }
  if (auto consumer = consumer_.lock()) {
    consumer->InputEnd();
  }
  if (hung_up_) {
    Abort();
  }
}

// Our output reaches nobody any more.
void Connection::HangUp() {
  auto consumer = consumer_.lock();
  bool keeps_input = mode_ == Mode::kStream && !read_ended_ && consumer && consumer->KeepsInput();
  if (!keeps_input) {
    Abort();
    return;
  }
  hung_up_ = true;
  Free(output_, output_taken_);
  UpdateInterest();
}

void Connection::UpdateInterest() {
  if (!channel_ || handling_input_) {
    return;
  }
  uint32_t wanted = channel_->Events(WantsToReceive(), pending() > 0);
  // EPOLLHUP cannot be masked: a hung up connection that nobody reads must not be watched.
  bool watch = !hung_up_ || wanted != 0;
  Result<> done;
  if (watch && !watched_) {
    done = core_->loop->Add(channel_->fd(), wanted, [this](uint32_t events) { OnEvents(events); });
  } else if (!watch && watched_) {
    core_->loop->Remove(channel_->fd());
  } else if (watch && wanted != interest_) {
    done = core_->loop->Modify(channel_->fd(), wanted);
  }
  watched_ = watch;
  interest_ = wanted;
  if (!done) {
    core_->loop->Post([self = shared_from_this()] { self->Abort(); });
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Output

void Connection::Send(std::string bytes) {
  if (!channel_ || hung_up_ || bytes.empty()) {
    return;
  }
  if (pending() > 0) {
    if (output_taken_ >= kCompactAbove) {
      output_.erase(0, std::exchange(output_taken_, 0));
    }
    output_ += bytes;
    return;
  }
  output_ = std::move(bytes);
  output_taken_ = 0;
  SendPending();
  had_output_ = pending() > 0;
  UpdateInterest();
}

void Connection::SendPending() {
  while (pending() > 0) {
    tls::IoResult result = channel_->Send(std::string_view(output_).substr(output_taken_));
    if (result.io == tls::Io::kAgain) {
      return;
    }
    if (result.io != tls::Io::kDone) {
      // The consumer hears of it from the loop, not inside its own call.
      core_->loop->Post([self = shared_from_this()] { self->HangUp(); });
      break;
    }
    output_taken_ += result.count;
  }
  Free(output_, output_taken_);
}

void Connection::Flush() {
  SendPending();
  if (pending() > 0 || !had_output_) {
    return;
  }
  had_output_ = false;
  if (mode_ == Mode::kLinger) {
    StartLinger();
  } else if (auto consumer = consumer_.lock()) {
    consumer->Drained();
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Input

void Connection::HandleInput() {
  if (handling_input_) {
    return;
  }
  handling_input_ = true;
  while (channel_ && !input_.empty() && WantsInput()) {
    if (mode_ == Mode::kRequests) {
      HandleRequestInput();
    } else if (auto consumer = consumer_.lock()) {
      std::string bytes = std::exchange(input_, {});
      consumer->Input(std::string_view(bytes).substr(std::exchange(input_taken_, 0)));
    }
  }
  handling_input_ = false;
  UpdateInterest();
}

void Connection::ConsumeInput(size_t count) {
  input_taken_ += count;
  if (input_taken_ == input_.size()) {
    Free(input_, input_taken_);
  }
}

void Connection::HandleRequestInput() {
  if (!reader_) {
    reader_ = std::make_unique<RequestReader>(core_->options.max_head_bytes);
  }
  RequestReader::Step step;
  do {
    auto progress = reader_->Feed(std::string_view(input_).substr(input_taken_));
    ConsumeInput(progress.used);
    step = progress.step;
    // A buffered request without body is complete right after its head, without further bytes.
  } while (step == RequestReader::Step::kHead && AcceptHead());
  switch (step) {
    case RequestReader::Step::kHead:
      return;
    case RequestReader::Step::kError:
      if (exchange_active_) {
        Abort();  // a broken body; an answer may have begun
      } else {
        Refuse(reader_->error_status(), reader_->error_reason());
      }
      return;
    case RequestReader::Step::kMore:
    case RequestReader::Step::kComplete:
      HandleBody(step == RequestReader::Step::kComplete);
      return;
  }
}

// True when the body is to be read next. A request whose body is streamed is handed to the handler
// here.
bool Connection::AcceptHead() {
  Request& request = reader_->request();
  std::string_view expect = request.header("Expect");
  bool expects_continue = reader_->http_1_1() && EqualsIgnoreCase(expect, "100-continue");
  if (!expect.empty() && !expects_continue) {
    Refuse(417, "only Expect: 100-continue can be met");
    return false;
  }
  if (!reader_->has_body()) {
    return true;
  }
  if (core_->streams_body && core_->streams_body(request)) {
    Dispatch({.http_1_1 = reader_->http_1_1(),
              .keep_alive = reader_->keep_alive(),
              .body_streamed = true,
              .expects_continue = expects_continue});
    return false;
  }
  if (reader_->announced_length() > core_->options.max_body_bytes) {
    Refuse(413, Cat("the request body is larger than ", core_->options.max_body_bytes, " bytes"));
    return false;
  }
  if (expects_continue) {
    Send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

void Connection::HandleBody(bool complete) {
  if (!exchange_active_) {
    if (reader_->body_size() > core_->options.max_body_bytes) {
      Refuse(413, Cat("the request body is larger than ", core_->options.max_body_bytes, " bytes"));
    } else if (complete) {
      Dispatch({.http_1_1 = reader_->http_1_1(), .keep_alive = reader_->keep_alive()});
    } else if (!reader_->started()) {
      reader_.reset();  // only line ends between requests
    }
    return;
  }
  std::string piece = reader_->TakeBody();
  if (complete) {
    reader_.reset();
  }
  // The consumer may finish while it handles the piece; then the weak pointer is empty.
  if (auto consumer = consumer_.lock(); consumer && !piece.empty()) {
    consumer->Input(piece);
  }
  if (auto consumer = consumer_.lock(); consumer && complete) {
    consumer->InputEnd();
  }
}

void Connection::Dispatch(ExchangeFacts facts) {
  Request request = std::move(reader_->request());
  if (!facts.body_streamed) {
    request.body = reader_->TakeBody();
    reader_.reset();
  }
  exchange_active_ = true;
  auto exchange = std::make_shared<ServerExchange>(shared_from_this(), std::move(request), facts);
  consumer_ = exchange;
  core_->handler(std::move(exchange));
}

void Connection::Refuse(int status, std::string_view reason) {
  Send(ErrorResponse(status, core_->options.common_headers, reason));
  CloseAfterOutput();
}

void Connection::InputWanted() {
  if (input_.empty()) {
    UpdateInterest();
  } else {
    core_->loop->Post([self = shared_from_this()] { self->HandleInput(); });
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Ends

void Connection::FinishExchange(After after) {
  exchange_active_ = false;
  consumer_.reset();
  // A reader that still is there has seen only a part of the request's body.
  if (after == After::kClose || reader_ || core_->stopping) {
    CloseAfterOutput();
  } else {
    InputWanted();
  }
}

void Connection::BecomeStream(std::weak_ptr<Consumer> consumer) {
  mode_ = Mode::kStream;
  exchange_active_ = false;
  reader_.reset();
  consumer_ = std::move(consumer);
}

void Connection::CloseAfterOutput() {
  if (!channel_) {
    return;
  }
  mode_ = Mode::kLinger;
  exchange_active_ = false;
  consumer_.reset();
  Free(input_, input_taken_);
  if (hung_up_) {
    Close();
  } else if (pending() == 0) {
    StartLinger();
  }
  UpdateInterest();
}

void Connection::StartLinger() {
  channel_->EndSending();
  if (read_ended_) {
    Close();
    return;
  }
  linger_timer_ = core_->loop->After(kLingerLimit, [weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      self->Close();
    }
  });
}

void Connection::CloseIfIdle() {
  bool reading = reader_ || !input_.empty();
  if (mode_ == Mode::kRequests && !exchange_active_ && !reading && pending() == 0) {
    Close();
  }
}

void Connection::Abort() {
  auto consumer = consumer_.lock();
  Close();
  if (consumer) {
    consumer->Gone();
  }
}

void Connection::Close() {
  if (!channel_) {
    return;
  }
  auto self = shared_from_this();
  core_->loop->Cancel(linger_timer_);
  core_->loop->Cancel(handshake_timer_);
  core_->loop->Remove(channel_->fd());
  channel_.reset();
  watched_ = false;
  consumer_.reset();
  Free(input_, input_taken_);
  Free(output_, output_taken_);
  core_->connections.erase(self);
}

}  // namespace wherry::http
