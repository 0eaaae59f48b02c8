#include "net/http/curl_error.h"

#include <mbedtls/x509.h>

#include <cstring>

#include "core/base/text.h"
#include "net/tls/verify_problem.h"

namespace wherry::http {

namespace {

Error VerifyError(const CurlFailure& failure) {
  auto problem = tls::DescribeVerifyFlags(failure.verify_flags);
  if (!problem)
    return Error(Errc::kDenied, Cat("cannot trust ", failure.host, ": ", failure.detail));
  std::string text = Cat("cannot trust ", failure.host, ": ", problem->cause);
  if (problem->flag == MBEDTLS_X509_BADCERT_CN_MISMATCH && !failure.names.empty())
    Append(text, " (", failure.names, ")");
  Append(text, "; ", problem->remedy);
  if (problem->flag == MBEDTLS_X509_BADCERT_NOT_TRUSTED)
    Append(text, " in [registry \"", failure.host, "\"]");
  return Error(Errc::kDenied, std::move(text));
}

Error ResolveError(const CurlFailure& failure) {
  return Error(Errc::kUnavailable, Cat("cannot find the host ", failure.host,
                                       ": its name is not known; check the name, and ",
                                       "the name servers in /etc/resolv.conf"));
}

std::string ConnectCause(const CurlFailure& failure) {
  return failure.os_errno != 0 ? ToLower(ErrnoText(static_cast<int>(failure.os_errno)))
                               : std::string(failure.detail);
}

Error ProxyError(const CurlFailure& failure, std::string_view cause) {
  return Error(Errc::kUnavailable, Cat("cannot reach ", failure.host, " through the proxy: ", cause,
                                       "; check http_proxy, https_proxy and no_proxy"));
}

Error ConnectError(const CurlFailure& failure) {
  if (failure.proxy)
    return ProxyError(failure, ConnectCause(failure));
  return Error(Errc::kUnavailable,
               Cat("cannot connect to ", failure.host, ": ", ConnectCause(failure),
                   "; check the address, and that the server is running"));
}

Error TimeoutError(const CurlFailure& failure) {
  if (failure.detail.find("esolving") != std::string_view::npos) {
    return Error(Errc::kTimeout,
                 Cat("cannot find the host ", failure.host,
                     ": no name server answers; check the network and ", "/etc/resolv.conf"));
  }
  return Error(Errc::kTimeout,
               Cat("cannot connect to ", failure.host,
                   ": no answer in time; check the network, the address ", "and the firewall"));
}

bool Mentions(const CurlFailure& failure, std::string_view text) {
  return failure.detail.find(text) != std::string_view::npos;
}

// A server that wants a certificate of ours ends the handshake, or with TLS 1.3 the first read,
// with an alert.
bool IsAlert(const CurlFailure& failure) {
  return Mentions(failure, "-0x7780");
}

Error AlertError(const CurlFailure& failure) {
  return Error(
      Errc::kDenied,
      Cat(failure.host, " refused the TLS connection; it may want a client certificate: give ",
          "`client-cert` and `client-key` in [registry \"", failure.host, "\"]"));
}

Error HandshakeError(const CurlFailure& failure) {
  if (failure.verify_flags != 0)
    return VerifyError(failure);
  // mbedTLS sees no TLS record when the other side answers in plain text.
  if (Mentions(failure, "-0x7200")) {
    return Error(
        Errc::kUnsupported,
        Cat(failure.host, " does not speak TLS; to use plain HTTP set `insecure = true` in ",
            "[registry \"", failure.host, "\"]"));
  }
  if (IsAlert(failure))
    return AlertError(failure);
  return Error(Errc::kUnavailable, Cat("TLS with ", failure.host, " failed: ", failure.detail));
}

Error LostError(const CurlFailure& failure) {
  if (IsAlert(failure))
    return AlertError(failure);
  if (Mentions(failure, "CONNECT"))
    return ProxyError(failure, failure.detail);
  return Error(Errc::kUnavailable, Cat("the connection to ", failure.host, " was lost"));
}

Error OtherError(Errc code, const CurlFailure& failure) {
  std::string_view cause =
      failure.detail.empty() ? std::string_view(curl_easy_strerror(failure.code)) : failure.detail;
  return Error(code, Cat("request to ", failure.host, " failed: ", cause));
}

}  // namespace

Error MakeCurlError(const CurlFailure& failure) {
  switch (failure.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return ResolveError(failure);
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return ProxyError(failure, failure.detail);
    case CURLE_COULDNT_CONNECT:
      return ConnectError(failure);
    case CURLE_OPERATION_TIMEDOUT:
      return TimeoutError(failure);
    case CURLE_PEER_FAILED_VERIFICATION:
      return VerifyError(failure);
    case CURLE_SSL_CONNECT_ERROR:
      return HandshakeError(failure);
    case CURLE_SSL_CERTPROBLEM:
      return Error(Errc::kInvalid, Cat("the client certificate for ", failure.host,
                                       " cannot be used: ", failure.detail));
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
      return LostError(failure);
    case CURLE_UNSUPPORTED_PROTOCOL:  // an answer without status line
    case CURLE_WEIRD_SERVER_REPLY:
      return Error(Errc::kInvalid,
                   Cat(failure.host, " does not answer in HTTP; check the address and the port"));
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return OtherError(Errc::kInvalid, failure);
    case CURLE_OUT_OF_MEMORY:
      return OtherError(Errc::kNoSpace, failure);
    default:
      return OtherError(Errc::kUnavailable, failure);
  }
}

}  // namespace wherry::http
