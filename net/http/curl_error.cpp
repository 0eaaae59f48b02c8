#include "net/http/curl_error.h"

#include <mbedtls/x509.h>

#include <cstring>

#include "core/base/text.h"

namespace wherry::http {

namespace {

struct VerifyRow {
  uint32_t flag;
  std::string_view cause;
  std::string_view remedy;
};

// The most telling flag first: a wrong name is usually accompanied by others.
constexpr VerifyRow kVerifyRows[] = {
    {MBEDTLS_X509_BADCERT_EXPIRED, "its certificate has expired", "renew it, or check this device's clock"},
    {MBEDTLS_X509_BADCERT_FUTURE, "its certificate is not valid yet", "check this device's clock"},
    {MBEDTLS_X509_BADCERT_REVOKED, "its certificate was revoked", "ask its administrator"},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, "its certificate is for another name",
     "use the name in the certificate, or have it issued for this one"},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "its certificate is not signed by a trusted authority",
     "give the authority's file as `ca` in [registry \"HOST\"] of the configuration"},
};

Error VerifyError(const CurlFailure& failure) {
  for (const VerifyRow& row : kVerifyRows) {
    if ((failure.verify_flags & row.flag) == 0) continue;
    return Error(Errc::kDenied, Cat("cannot trust ", failure.host, ": ", row.cause, "; ", row.remedy));
  }
  return Error(Errc::kDenied, Cat("cannot trust ", failure.host, ": ", failure.detail));
}

Error ConnectError(const CurlFailure& failure) {
  const char* reason = failure.os_errno == 0 ? nullptr : strerrordesc_np(static_cast<int>(failure.os_errno));
  std::string cause = reason != nullptr ? ToLower(reason) : std::string(failure.detail);
  return Error(Errc::kUnavailable, Cat("cannot connect to ", failure.host, ": ", cause,
                                       "; check the address and that the registry is running"));
}

Error HandshakeError(const CurlFailure& failure) {
  if (failure.verify_flags != 0) return VerifyError(failure);
  // mbedTLS sees no TLS record when the other side answers in plain text.
  bool plain = failure.detail.find("-0x7200") != std::string_view::npos ||
               failure.detail.find("nvalid SSL record") != std::string_view::npos;
  if (plain) {
    return Error(Errc::kUnsupported, Cat(failure.host, " does not speak TLS; to use plain HTTP set `insecure = true` in ",
                                         "[registry \"", failure.host, "\"] of the configuration"));
  }
  // A server that wants a certificate of ours ends the handshake with an alert.
  bool alert = failure.detail.find("-0x7780") != std::string_view::npos;
  if (alert) {
    return Error(Errc::kDenied, Cat(failure.host, " refused the TLS connection; it may want a client certificate ",
                                    "(`client-cert` and `client-key` in [registry \"", failure.host, "\"])"));
  }
  return Error(Errc::kUnavailable, Cat("TLS with ", failure.host, " failed: ", failure.detail));
}

}  // namespace

Error MakeCurlError(const CurlFailure& failure) {
  switch (failure.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return Error(Errc::kUnavailable, Cat("cannot find the host ", failure.host, ": its name is not known; ",
                                           "check the name and the name servers in /etc/resolv.conf"));
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Error(Errc::kUnavailable, "cannot find the proxy host; check https_proxy and http_proxy");
    case CURLE_COULDNT_CONNECT: return ConnectError(failure);
    case CURLE_OPERATION_TIMEDOUT:
      return Error(Errc::kTimeout, Cat("no answer from ", failure.host, " in time; check the network"));
    case CURLE_PEER_FAILED_VERIFICATION: return VerifyError(failure);
    case CURLE_SSL_CONNECT_ERROR: return HandshakeError(failure);
    case CURLE_SSL_CACERT_BADFILE:
      return Error(Errc::kInvalid, Cat("the CA file for ", failure.host, " cannot be used: ", failure.detail));
    case CURLE_SSL_CERTPROBLEM:
      return Error(Errc::kInvalid, Cat("the client certificate for ", failure.host, " cannot be used: ", failure.detail));
    case CURLE_TOO_MANY_REDIRECTS:
      return Error(Errc::kInvalid, Cat(failure.host, " redirects too often"));
    case CURLE_UNSUPPORTED_PROTOCOL:
      return Error(Errc::kDenied, Cat(failure.host, " redirects to an address that is not https, which is refused"));
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
      return Error(Errc::kUnavailable, Cat("the connection to ", failure.host, " was lost"));
    default:
      return Error(Errc::kUnavailable, Cat("request to ", failure.host, " failed: ",
                                           failure.detail.empty() ? std::string_view(curl_easy_strerror(failure.code))
                                                                  : failure.detail));
  }
}

}  // namespace wherry::http
