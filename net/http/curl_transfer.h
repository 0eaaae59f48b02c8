// HTTP and HTTPS requests by libcurl on mbedTLS, read as a stream: one request at a time per session, connections are kept
// for the next one. Blocking; belongs on a worker thread; one thread at a time per session.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "net/http/header.h"

namespace wherry::http {

struct TlsOptions {
  std::string ca_file;      // PEM; empty: SystemCaFile()
  std::string cert_file;    // client certificate, PEM
  std::string key_file;
  bool verify = true;
};

struct CurlRequest {
  std::string method = "GET";  // GET, HEAD, POST
  std::string url;             // http:// or https://
  std::vector<Header> headers; // Authorization among them is not sent to another host after a redirect
  std::string body;            // POST
  uint64_t range_start = 0;    // > 0: Range: bytes=N-
  TlsOptions tls;
};

struct SessionOptions {
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds stall_timeout{60};
  std::string user_agent;
  const std::atomic<bool>* cancelled = nullptr;  // borrowed; looked at every half second at least
};

// The CA bundle of this system by the usual places of distributions; empty when there is none.
std::string SystemCaFile();

// The answer to one request: head first, body as it is read. Destroying it early drops the connection.
class CurlTransfer : public ByteSource {
 public:
  int status() const { return status_; }
  std::string_view header(std::string_view name) const { return FindHeader(headers_, name); }
  // The whole body; kInvalid when it is longer than `limit`.
  Result<std::string> ReadAll(size_t limit);

 protected:
  int status_ = 0;
  std::vector<Header> headers_;
};

class CurlSession {
 public:
  static std::unique_ptr<CurlSession> Create(SessionOptions options);
  virtual ~CurlSession() = default;
  // Sends the request and waits for the head of the final answer (redirects are followed, at most five, never from https to
  // http). Any status is an answer. Errors are one sentence with host, cause and remedy:
  //   kUnavailable  unknown host, refused, reset, cut short: worth another try
  //   kTimeout      no connection or no byte in time: worth another try
  //   kDenied       certificate not trusted, expired or for another name; the client's own refused
  //   kUnsupported  the server does not speak TLS
  //   kCancelled
  virtual Result<std::unique_ptr<CurlTransfer>> Start(const CurlRequest& request) = 0;
};

}  // namespace wherry::http
