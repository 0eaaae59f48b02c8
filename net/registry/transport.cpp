#include "net/registry/transport.h"

#include "core/base/text.h"
#include "net/registry/endpoint.h"
#include "net/tls/trusted_certificates.h"

namespace wherry::registry {

namespace {

constexpr int kMaxRedirects = 5;
constexpr size_t kMaxRedirectBody = 16 << 10;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void AddSystemFile(const Options& options, http::TlsOptions& tls) {
  std::string file = options.system_ca.empty() ? tls::SystemCaFile() : options.system_ca;
  if (!file.empty())
    tls.ca_files.push_back(std::move(file));
}

}  // namespace

http::TlsOptions TlsFor(const Options& options, const std::string& home,
                        const http::Origin& origin) {
  http::TlsOptions tls;
  bool at_home = AddressOf(home) == origin.authority() ||
                 AddressOf(home) == Cat(origin.authority(), ":", origin.port);
  const HostOptions* own = FindHost(options, at_home ? home : origin.authority());
  if (own != nullptr && !own->ca_file.empty()) {
    tls.ca_files.push_back(own->ca_file);
  } else {
    AddSystemFile(options, tls);
    const HostOptions* registry = FindHost(options, home);
    if (own == nullptr && registry != nullptr && !registry->ca_file.empty())
      tls.ca_files.push_back(registry->ca_file);
  }
  tls.verify = !MayBeInsecure(options, at_home ? home : origin.authority());
  if (own != nullptr) {
    tls.cert_file = own->client_cert_file;
    tls.key_file = own->client_key_file;
  }
  return tls;
}

Result<std::string> Transport::NextHop(const std::string& url, const http::Origin& origin,
                                       const http::CurlTransfer& transfer) {
  std::string next = TRY_CTX(Cat("redirect by ", origin.authority()),
                             http::ResolveUrl(url, std::string(transfer.header("Location"))));
  http::Origin target = TRY_CTX(Cat("redirect by ", origin.authority()), http::OriginOf(next));
  if (origin.scheme == "https" && target.scheme != "https") {
    return Fail(Errc::kDenied,
                Cat(origin.authority(), " redirects from https to plain http at ",
                    target.authority(), ", which is refused; ask its administrator"));
  }
  return next;
}

Result<Transport::Answer> Transport::Start(const Request& request) {
  http::Origin first = TRY(http::OriginOf(request.url));
  http::CurlRequest hop{
      request.method,    request.url, request.headers, request.body, request.range_start,
      request.range_end, {}};
  bool with_authorization = !request.authorization.empty();
  if (with_authorization)
    hop.headers.push_back({"Authorization", request.authorization});
  for (int redirects = 0;; ++redirects) {
    http::Origin origin = TRY(http::OriginOf(hop.url));
    bool elsewhere = origin != first;
    if (elsewhere && with_authorization) {
      hop.headers.pop_back();
      with_authorization = false;
    }
    hop.tls = TlsFor(*options_, home_, origin);
    auto transfer = TRY(session_->Start(hop));
    bool redirect = IsRedirect(transfer->status()) && !transfer->header("Location").empty();
    if (!redirect)
      return Answer{std::move(transfer), origin.authority(), elsewhere};
    if (request.method != "GET" && request.method != "HEAD") {
      return Fail(Errc::kDenied,
                  Cat(origin.authority(), " redirects a ", request.method, ", which is refused"));
    }
    if (redirects == kMaxRedirects) {
      return Fail(Errc::kInvalid, Cat(first.authority(), " redirects more than ", kMaxRedirects,
                                      " times; ask its ", "administrator"));
    }
    hop.url = TRY(NextHop(hop.url, origin, *transfer));
    (void)transfer->ReadSome(kMaxRedirectBody);
  }
}

}  // namespace wherry::registry
