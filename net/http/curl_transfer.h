// HTTP and HTTPS requests by libcurl on mbedTLS, read as a stream: a session keeps connections for
// the next request and takes the proxy from the environment (http_proxy, https_proxy, all_proxy,
// no_proxy, also in upper case). Redirects are the caller's business: only he knows where
// credentials may go. Blocking; belongs on a worker thread; one thread per session.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "net/http/header.h"

namespace wherry::http {

struct TlsOptions {
  std::vector<std::string> ca_files;  // PEM; none: nothing is trusted
  std::string cert_file;              // client certificate, PEM
  std::string key_file;
  bool verify = true;
};

struct CurlRequest {
  std::string method = "GET";  // GET, HEAD, POST, PUT, PATCH, DELETE
  std::string url;             // http:// or https://
  std::vector<Header> headers;
  std::string_view body;     // POST, PUT, PATCH; borrowed until the transfer ends
  uint64_t range_start = 0;  // > 0: Range: bytes=N-
  uint64_t range_end = 0;    // > 0: Range: bytes=N-M, this being M + 1
  TlsOptions tls;
};

struct SessionOptions {
  std::chrono::seconds connect_timeout{15};  // name, connection and TLS handshake together
  std::chrono::seconds stall_timeout{60};    // without a byte while somebody waits for one
  std::string user_agent;
  const std::atomic<bool>* cancelled = nullptr;  // borrowed; looked at every half second at least
};

// The answer to one request: head first, body as it is read; at most 96 KiB are held, the rest
// waits in the socket. Destroying it early drops the connection. Must not outlive its session.
class CurlTransfer : public ByteSource {
 public:
  int status() const { return status_; }
  // First value; empty when absent.
  std::string_view header(std::string_view name) const { return FindHeader(headers_, name); }
  const std::vector<Header>& headers() const { return headers_; }
  // Of Retry-After, in either of its forms; 0 when absent.
  std::chrono::seconds retry_after() const { return retry_after_; }
  // The whole body; kInvalid when it is longer than `limit`.
  Result<std::string> ReadAll(size_t limit);
  // The body up to `limit` bytes, without errors: for the text of an error answer, and so that the
  // connection can be used again.
  std::string ReadSome(size_t limit);

 protected:
  int status_ = 0;
  std::chrono::seconds retry_after_{0};
  std::vector<Header> headers_;
};

class CurlSession {
 public:
  static std::unique_ptr<CurlSession> Create(SessionOptions options);
  virtual ~CurlSession() = default;
  // Sends the request and waits for the head of the answer. Any status is an answer. Errors are one
  // sentence with host, cause and remedy:
  //   kUnavailable  unknown host, refused, reset, cut short: worth another try
  //   kTimeout      no connection or no byte in time: worth another try
  //   kDenied       certificate not trusted, expired or for another name; the client's own refused
  //   kInvalid      a certificate or key file that cannot be used, a malformed address or answer
  //   kUnsupported  the server does not speak TLS
  //   kCancelled
  virtual Result<std::unique_ptr<CurlTransfer>> Start(const CurlRequest& request) = 0;
};

}  // namespace wherry::http
