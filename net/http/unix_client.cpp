#include "net/http/unix_client.h"

#include <llhttp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/base/text.h"
#include "net/http/head_collector.h"

namespace wherry::http {

namespace {

constexpr size_t kMaxHead = 256 << 10;
constexpr size_t kReceiveBytes = 16 << 10;
// While a request body is sent, at most this much of an early answer is taken in.
constexpr size_t kMaxEarlyBody = 1 << 20;
constexpr size_t kSendTogether = 32 << 10;

Error ConnectError(int error_number, const std::string& path) {
  Error cause = Error::Sys(error_number, "connect", path);
  if (error_number == ENOENT || error_number == ECONNREFUSED) {
    return Error(Errc::kUnavailable,
                 Cat("cannot connect to ", path, ": ",
                     error_number == ENOENT ? "the socket does not exist" : "nobody listens",
                     "; is the daemon running? start it with `wherry daemon`"));
  }
  if (error_number == EACCES || error_number == EPERM) {
    return Error(Errc::kDenied,
                 Cat("cannot connect to ", path,
                     ": permission denied; run as root or as a member of the socket's group"));
  }
  return std::move(cause).Wrap("cannot connect to the daemon");
}

struct RequestLine {
  std::string_view method;
  std::string_view target;
};

// Everything up to the body. `framing` is the line that tells the body's length, or nothing.
Result<std::string> RequestHead(RequestLine line, const std::vector<Header>& headers,
                                std::string_view framing) {
  std::string head = Cat(line.method, " ", line.target, " HTTP/1.1\r\nHost: wherry\r\n");
  size_t lines = 2;
  for (const Header& header : headers) {
    Append(head, header.name, ": ", header.value, "\r\n");
    ++lines;
  }
  Append(head, framing, "\r\n");
  lines += framing.empty() ? 1 : 2;
  bool blank = line.target.empty() || line.target.find(' ') != std::string_view::npos;
  if (blank || head.find('\0') != std::string::npos ||
      static_cast<size_t>(std::count(head.begin(), head.end(), '\n')) != lines) {
    return Fail(Errc::kInvalid, "a request target or header contains a character it must not");
  }
  return head;
}

}  // namespace

// llhttp's callbacks turn the received bytes into the response head and body bytes.
struct UnixClient::State {
  UniqueFd fd;
  llhttp_t parser;
  HeadCollector collector{kMaxHead};
  Response response;
  std::string body;         // received and decoded
  size_t body_taken = 0;    // of `body`
  std::string after;        // received after the message: the other protocol
  bool is_head = false;     // the request was HEAD
  bool in_request = false;  // a request was sent and its answer not read to the end
  bool head_done = false;
  bool message_done = false;
  bool keep_alive = false;
  bool peer_closed = false;  // the other side takes or sends no more

  void Begin(bool head_request);
  Result<> Parse(std::string_view bytes);
  Result<> ParseEnd();

  static State& Of(llhttp_t* parser) { return *static_cast<State*>(parser->data); }
  static int OnHeadersComplete(llhttp_t* parser);
  static int OnMessageComplete(llhttp_t* parser);
  static const llhttp_settings_t& Settings();
};

const llhttp_settings_t& UnixClient::State::Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t out;
    llhttp_settings_init(&out);
    out.on_header_field = [](llhttp_t* p, const char* at, size_t n) {
      return Of(p).collector.AddName({at, n}) ? 0 : -1;
    };
    out.on_header_value = [](llhttp_t* p, const char* at, size_t n) {
      return Of(p).collector.AddValue({at, n}) ? 0 : -1;
    };
    out.on_body = [](llhttp_t* p, const char* at, size_t n) {
      Of(p).body.append(at, n);
      return 0;
    };
    out.on_headers_complete = &OnHeadersComplete;
    out.on_message_complete = &OnMessageComplete;
    return out;
  }();
  return settings;
}

int UnixClient::State::OnHeadersComplete(llhttp_t* parser) {
  State& state = Of(parser);
  state.response.status = llhttp_get_status_code(parser);
  state.response.headers = state.collector.Take();
  bool interim = state.response.status < 200 && state.response.status != 101;
  state.head_done = !interim;
  return state.is_head ? 1 : 0;
}

int UnixClient::State::OnMessageComplete(llhttp_t* parser) {
  State& state = Of(parser);
  if (!state.head_done) {
    return 0;  // 100 Continue and its like: the answer follows
  }
  state.message_done = true;
  state.keep_alive = llhttp_should_keep_alive(parser) != 0;
  return HPE_PAUSED;
}

void UnixClient::State::Begin(bool head_request) {
  llhttp_init(&parser, HTTP_RESPONSE, &Settings());
  parser.data = this;
  collector.Take();
  response = {};
  body.clear();
  body_taken = 0;
  is_head = head_request;
  in_request = true;
  head_done = message_done = keep_alive = false;
}

Result<> UnixClient::State::Parse(std::string_view bytes) {
  if (message_done) {
    after += bytes;
    return {};
  }
  llhttp_errno_t error = llhttp_execute(&parser, bytes.data(), bytes.size());
  if (error == HPE_OK) {
    return {};
  }
  if (message_done && (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE)) {
    const char* rest = llhttp_get_error_pos(&parser);
    after.append(rest, static_cast<size_t>(bytes.data() + bytes.size() - rest));
    return {};
  }
  in_request = true;  // for good: nothing can follow on this connection
  const char* reason = llhttp_get_error_reason(&parser);
  return Fail(Errc::kInvalid, Cat("the answer of the daemon is not HTTP: ",
                                  reason != nullptr ? reason : llhttp_errno_name(error)));
}

Result<> UnixClient::State::ParseEnd() {
  peer_closed = true;
  keep_alive = false;
  if (!head_done) {
    return Fail(Errc::kUnavailable, "the daemon closed the connection without an answer");
  }
  if (!message_done) {
    llhttp_finish(&parser);  // completes a body whose length is the connection's
  }
  if (std::exchange(message_done, true)) {
    return {};
  }
  return Fail(Errc::kUnavailable, "the daemon closed the connection in the middle of its answer");
}

UnixClient::UnixClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
UnixClient::UnixClient(UnixClient&&) noexcept = default;
UnixClient& UnixClient::operator=(UnixClient&&) noexcept = default;
UnixClient::~UnixClient() = default;

Result<UnixClient> UnixClient::Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Fail(Errc::kInvalid, Cat("socket path \"", path, "\" must have 1 to ",
                                    sizeof(address.sun_path) - 1, " characters"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  auto state = std::make_unique<State>();
  state->fd.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!state->fd) {
    return FailSys("socket");
  }
  int status;
  do {
    status = connect(state->fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  } while (status != 0 && errno == EINTR);
  if (status != 0) {
    return std::unexpected(ConnectError(errno, path));
  }
  return UnixClient(std::move(state));
}

Result<> UnixClient::Receive() {
  std::array<char, kReceiveBytes> buffer;
  ssize_t count;
  do {
    count = recv(state_->fd.get(), buffer.data(), buffer.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno != ECONNRESET) {
    return FailSys("recv");
  }
  if (count <= 0) {
    return state_->ParseEnd();
  }
  return state_->Parse({buffer.data(), static_cast<size_t>(count)});
}

Result<> UnixClient::Send(std::string_view bytes) {
  State& state = *state_;
  while (!bytes.empty()) {
    ssize_t count = send(state.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) {
      state.peer_closed = true;
      return Fail(Errc::kUnavailable, "the daemon does not take more of the request");
    }
    if (errno != EAGAIN && errno != EINTR) {
      return FailSys("send");
    }
    // A server that answers while it reads must not wait for a client that only writes.
    bool listen = !state.peer_closed && state.body.size() < kMaxEarlyBody;
    pollfd wait{state.fd.get(), static_cast<short>(POLLOUT | (listen ? POLLIN : 0)), 0};
    poll(&wait, 1, -1);
    if ((wait.revents & POLLIN) != 0) {
      TRY(Receive());
    }
  }
  return {};
}

Result<> UnixClient::Start(std::string_view method, std::string head) {
  if (state_->in_request && !reusable()) {
    return Fail(Errc::kInternal, "the connection still carries an earlier answer");
  }
  if (!state_->after.empty()) {
    return Fail(Errc::kInvalid, "the daemon sent more than its answer");
  }
  state_->Begin(method == "HEAD");
  return Send(head);
}

Result<Response> UnixClient::ReadHead() {
  while (!state_->head_done) {
    TRY(Receive());
  }
  return std::move(state_->response);
}

Result<Response> UnixClient::Request(std::string_view method, std::string_view target,
                                     const std::vector<Header>& headers, std::string_view body) {
  std::string framing;
  if (!body.empty() || method == "POST" || method == "PUT") {
    framing = Cat("Content-Length: ", body.size(), "\r\n");
  }
  std::string head = TRY(RequestHead({method, target}, headers, framing));
  bool together = body.size() <= kSendTogether;
  Result<> sent = Start(method, together ? head.append(body) : head);
  if (sent && !together) {
    sent = Send(body);
  }
  return ReadHeadAfter(std::move(sent));
}

Result<> UnixClient::StartRequest(std::string_view method, std::string_view target,
                                  const std::vector<Header>& headers) {
  return Start(method,
               TRY(RequestHead({method, target}, headers, "Transfer-Encoding: chunked\r\n")));
}

Result<> UnixClient::WriteBody(std::string_view bytes) {
  if (bytes.empty()) {
    return {};  // an empty chunk would be the end
  }
  std::array<char, 20> size;
  char* end = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  TRY(Send({size.data(), static_cast<size_t>(end - size.data())}));
  TRY(Send(bytes));
  return Send("\r\n");
}

Result<Response> UnixClient::FinishRequest() {
  return ReadHeadAfter(Send("0\r\n\r\n"));
}

// A server that refuses a request may answer and close before it has read everything: its answer
// says more than EPIPE.
Result<Response> UnixClient::ReadHeadAfter(Result<> sent) {
  if (sent) {
    return ReadHead();
  }
  if (sent.error().code() == Errc::kUnavailable) {
    if (Result<Response> response = ReadHead()) {
      return response;
    }
  }
  return std::unexpected(std::move(sent).error());
}

Result<size_t> UnixClient::ReadBody(std::span<std::byte> out) {
  State& state = *state_;
  while (state.body_taken == state.body.size()) {
    state.body.clear();
    state.body_taken = 0;
    if (state.message_done) {
      return size_t{0};
    }
    TRY(Receive());
  }
  size_t count = std::min(out.size(), state.body.size() - state.body_taken);
  memcpy(out.data(), state.body.data() + state.body_taken, count);
  state.body_taken += count;
  return count;
}

Result<std::string> UnixClient::ReadWholeBody(size_t limit) {
  std::string whole = std::move(state_->body).substr(state_->body_taken);
  state_->body_taken = 0;
  for (state_->body.clear(); whole.size() <= limit && !state_->message_done; state_->body.clear()) {
    TRY(Receive());
    whole += state_->body;
  }
  if (whole.size() > limit) {
    return Fail(Errc::kInvalid, Cat("the answer is longer than ", limit, " bytes"));
  }
  return whole;
}

bool UnixClient::reusable() const {
  return state_->message_done && state_->keep_alive && !state_->peer_closed && !buffered();
}

UnixClient::Hijacked UnixClient::Hijack() && {
  return {std::move(state_->fd), state_->body.substr(state_->body_taken) + state_->after};
}

int UnixClient::fd() const {
  return state_->fd.get();
}

bool UnixClient::buffered() const {
  return state_->body_taken < state_->body.size();
}

}  // namespace wherry::http
