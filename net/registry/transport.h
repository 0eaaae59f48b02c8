// HTTP towards one registry and wherever it sends its clients: chooses for every address what is
// trusted there, follows redirects, and gives credentials to nobody but the origin they are meant
// for. Blocking; one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "net/http/curl_transfer.h"
#include "net/http/curl_url.h"
#include "net/registry/options.h"

namespace wherry::registry {

// TLS with `origin` on behalf of the registry `home` (as the configuration names it). The
// registry's own address has the registry's settings; another host has its own section's; without
// one it is verified by the system's authorities and the registry's, and never sees the registry's
// client certificate.
http::TlsOptions TlsFor(const Options& options, const std::string& home,
                        const http::Origin& origin);

class Transport {
 public:
  // `options` and `session` are borrowed.
  Transport(const Options* options, http::CurlSession* session, std::string home)
      : options_(options), session_(session), home_(std::move(home)) {}

  struct Request {
    std::string method = "GET";
    std::string url;
    std::vector<http::Header> headers;
    std::string authorization;  // sent to the origin of `url` only
    // Borrowed until the transfer ends. A redirected request that changes something is an error:
    // its body may be a secret.
    std::string_view body;
    uint64_t range_start = 0;
    uint64_t range_end = 0;
  };
  struct Answer {
    std::unique_ptr<http::CurlTransfer> transfer;
    std::string host;        // who answered at last
    bool elsewhere = false;  // not the origin of `url`
  };
  // At most five redirects, never from https to http (kDenied). Other errors as CurlSession::Start.
  Result<Answer> Start(const Request& request);

 private:
  Result<std::string> NextHop(const std::string& url, const http::Origin& origin,
                              const http::CurlTransfer& transfer);

  const Options* options_;
  http::CurlSession* session_;
  std::string home_;
};

}  // namespace wherry::registry
