// HTTP/1.1 server on the event loop (RFC 9110, 9112), parsed by llhttp: keep-alive, chunked and
// streamed replies, streamed request bodies, `Expect: 100-continue`, and connections taken over
// (hijacked) for attach. Everything here runs on the loop thread; a handler that needs a worker
// keeps the ExchangePtr and answers later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "net/http/header.h"
#include "net/tls/config.h"

namespace wherry::http {

struct Request {
  std::string method;  // "GET"
  std::string path;    // without query, percent-decoded by the router part by part
  std::multimap<std::string, std::string> query;  // decoded
  std::vector<Header> headers;
  std::string body;  // complete when the handler is called, unless the body is streamed

  // Case-insensitive; empty when absent.
  std::string_view header(std::string_view name) const;
  // First value; empty when absent.
  std::string_view param(std::string_view name) const;
  bool has_param(std::string_view name) const;
  // Docker's rule: false iff absent or one of "", "0", "no", "false", "none" in any case.
  bool flag(std::string_view name, bool fallback = false) const;
};

// The peer of a Unix socket connection, or of one with TLS; of another or a closed one, nobody.
struct Peer {
  int pid = 0;
  uint32_t uid = UINT32_MAX;
  uint32_t gid = UINT32_MAX;
  bool remote = false;           // it came by TLS
  std::string certificate_name;  // then: the common name of its verified certificate
};

// A connection taken over from HTTP: raw bytes both ways. Callbacks come from the loop, never from
// inside a call; they may be replaced at any time, and are dropped at Close and after OnClose.
// Destruction is Close.
class Stream {
 public:
  virtual ~Stream() = default;
  // Buffers and sends. When pending() grows large the caller must stop producing until the drain
  // callback.
  virtual void Write(std::string_view bytes) = 0;
  virtual size_t pending() const = 0;
  virtual void OnDrain(std::move_only_function<void()> callback) = 0;  // pending() fell to zero
  // Nothing is read before this is set.
  virtual void OnData(std::move_only_function<void(std::string_view)> callback) = 0;
  virtual void PauseReading(bool paused) = 0;  // back-pressure towards the client
  virtual void OnReadEnd(
      std::move_only_function<void()> callback) = 0;  // the client shut down its sending side
  // The client is gone both ways; called at most once. With OnData set it comes after the last of
  // the client's data, so a paused reader is told late.
  virtual void OnClose(std::move_only_function<void()> callback) = 0;
  // Sends what is pending, then closes. No callback is called any more.
  virtual void Close() = 0;
};

// One request and its answer. The connection lives until the answer is complete, also when the
// client is gone (then writes vanish and OnClose was called). Callbacks come from the loop, never
// from inside a call, and are dropped when the answer is complete. An exchange dropped without
// answer is answered 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  virtual Peer peer() const = 0;

  // A complete answer. Content-Length is added; 204, 304 and HEAD carry no body.
  virtual void Reply(int status, std::vector<Header> headers, std::string body) = 0;

  // An answer in pieces: headers go out at once, chunked transfer coding for HTTP/1.1 unless
  // `headers` has Content-Length.
  virtual void StartStream(int status, std::vector<Header> headers) = 0;
  virtual void Write(std::string_view bytes) = 0;
  virtual size_t pending() const = 0;
  virtual void OnDrain(std::move_only_function<void()> callback) = 0;
  virtual void End() = 0;

  // Takes the connection over: writes `head` (a complete status line and headers) verbatim; bytes
  // already received after the request body are the stream's first data. The Exchange is finished
  // by this. REQUIRES: no answer begun, and the request's body complete (always so unless it is
  // streamed). The stream of a client that is gone is closed from the start.
  virtual std::shared_ptr<Stream> Hijack(std::string head) = 0;

  // Streamed request body (only for requests the server was told to stream): pieces in order, then
  // an empty one at the end.
  virtual void OnBody(std::move_only_function<void(std::string_view)> callback) = 0;
  virtual void PauseBody(bool paused) = 0;

  // The client went away before the answer was complete. Called at most once.
  virtual void OnClose(std::move_only_function<void()> callback) = 0;
};
using ExchangePtr = std::shared_ptr<Exchange>;

struct ServerOptions {
  size_t max_head_bytes = 64 << 10;
  size_t max_body_bytes = 4 << 20;  // of a buffered body; 413 beyond
  std::vector<Header> common_headers;
  size_t max_remotes = 64;  // connections with TLS at a time; more are closed at once
  // Why a TLS handshake failed: names the client. Called from the loop.
  std::function<void(const Error&)> on_refused = {};
};

class Server {
 public:
  using Handler = std::move_only_function<void(ExchangePtr)>;
  using StreamsBody =
      std::move_only_function<bool(const Request&)>;  // asked when the head is complete

  // Does not listen yet. `handler` is called on the loop thread for every request.
  static std::unique_ptr<Server> Create(Loop* loop, ServerOptions options, StreamsBody streams_body,
                                        Handler handler);
  virtual ~Server() = default;
  // Accepts on a listening socket (owned from now on); with `tls` all its clients must speak it.
  virtual Result<> Listen(UniqueFd listener, std::shared_ptr<const tls::Config> tls = nullptr) = 0;
  // Stops accepting and closes idle connections.
  virtual void Stop() = 0;
};

// A Unix listening socket at `path`, never accessible to more than `mode` allows; a stale socket
// file is replaced, a live one is kBusy, anything else there kExists; a path longer than sun_path
// allows is kInvalid with the limit named. When the group "wherry" (or `group`, a name or a number)
// exists the socket belongs to it.
Result<UniqueFd> ListenUnix(const std::string& path, uint32_t mode, std::string_view group);

}  // namespace wherry::http
