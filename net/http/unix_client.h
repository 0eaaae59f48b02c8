// Blocking HTTP/1.1 client over a Unix socket (RFC 9112): how the CLI talks to the daemon. One
// connection, one request at a time; answers are read piecewise, so they may be endless, and a
// connection can be taken over (hijacked) for attach. One thread at a time. SIGPIPE is never
// raised.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "net/http/header.h"

namespace wherry::http {

struct Response {
  int status = 0;
  std::vector<Header> headers;

  // Case-insensitive; empty when absent.
  std::string_view header(std::string_view name) const { return FindHeader(headers, name); }
};

class UnixClient {
 public:
  // One sentence naming the path, the cause and the remedy: kUnavailable when nobody listens,
  // kDenied without permission, kInvalid for a path longer than a socket address holds.
  static Result<UnixClient> Connect(const std::string& path);

  UnixClient(UnixClient&&) noexcept;
  UnixClient& operator=(UnixClient&&) noexcept;
  ~UnixClient();

  // Sends a request and waits for the head of the answer. Host is added, and Content-Length when
  // there is a body or the method is POST or PUT. What was left of an earlier answer must have been
  // read. 1xx answers but 101 are skipped.
  Result<Response> Request(std::string_view method, std::string_view target,
                           const std::vector<Header>& headers = {}, std::string_view body = {});

  // The same with a body of unknown length, sent in pieces (chunked transfer coding). An answer
  // that arrives early is kept. WriteBody fails with kUnavailable once the other side takes no
  // more; FinishRequest then still gives its answer if any.
  Result<> StartRequest(std::string_view method, std::string_view target,
                        const std::vector<Header>& headers = {});
  Result<> WriteBody(std::string_view bytes);
  Result<Response> FinishRequest();

  // The next bytes of the answer's body into the front of `out` (never empty), at least one; 0 at
  // its end. kUnavailable when the connection breaks before the end.
  Result<size_t> ReadBody(std::span<std::byte> out);
  // The rest of the body; kInvalid when it is longer than `limit`.
  Result<std::string> ReadWholeBody(size_t limit = 16 << 20);

  // True when the last answer was read to its end and the server keeps the connection for another
  // request.
  bool reusable() const;

  // Gives the connection up: the descriptor, and the bytes after the head that came already. For an
  // answer 101, or 200 without length.
  struct Hijacked {
    UniqueFd fd;
    std::string early;
  };
  Hijacked Hijack() &&;

  // To poll for readable besides other descriptors; call ReadBody first while buffered() is true.
  int fd() const;
  bool buffered() const;

 private:
  struct State;
  explicit UnixClient(std::unique_ptr<State> state);
  Result<> Start(std::string_view method, std::string head);
  Result<> Send(std::string_view bytes);
  Result<Response> ReadHead();
  Result<Response> ReadHeadAfter(Result<> sent);
  Result<> Receive();

  std::unique_ptr<State> state_;
};

}  // namespace wherry::http
