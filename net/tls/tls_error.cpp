#include "net/tls/tls_error.h"

#include <mbedtls/error.h>
#include <mbedtls/ssl.h>

#include <array>
#include <cerrno>

#include "core/base/text.h"
#include "net/tls/verify_problem.h"

namespace wherry::tls {

namespace {

Error VerifyError(const TlsFailure& failure) {
  auto problem = DescribeVerifyFlags(failure.verify_flags);
  std::string text = Cat("cannot trust ", failure.peer, ": ");
  if (!problem) {
    Append(text, "its certificate cannot be verified");
    return Error(Errc::kDenied, std::move(text));
  }
  bool wrong_use =
      (problem->flag & (MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_KEY_USAGE)) != 0;
  if (!failure.we_are_client && wrong_use) {
    Append(text, "its certificate is not made for clients; have it issued for TLS clients");
    return Error(Errc::kDenied, std::move(text));
  }
  Append(text, problem->cause);
  if (problem->flag == MBEDTLS_X509_BADCERT_CN_MISMATCH && !failure.names.empty())
    Append(text, " (", failure.names, ")");
  Append(text, "; ");
  if (problem->flag != MBEDTLS_X509_BADCERT_NOT_TRUSTED)
    Append(text, problem->remedy);
  else
    Append(text, "name the authority's file as `", failure.we_are_client ? "ca" : "client-ca",
           "` in ", failure.config_section);
  return Error(Errc::kDenied, std::move(text));
}

// What an alert says is not told by mbedTLS.
Error AlertError(const TlsFailure& failure) {
  if (!failure.we_are_client) {
    return Error(Errc::kDenied, Cat(failure.peer, " refused our certificate or our TLS version"));
  }
  if (failure.has_identity) {
    return Error(Errc::kDenied,
                 Cat(failure.peer,
                     " refused the TLS connection; it may not accept our "
                     "certificate: check that it is valid and of an authority the server trusts, "
                     "`certificate` in ",
                     failure.config_section));
  }
  return Error(Errc::kDenied, Cat(failure.peer,
                                  " refused the TLS connection; it may want a client "
                                  "certificate: give `certificate` and `key` in ",
                                  failure.config_section));
}

Error PlainError(const TlsFailure& failure) {
  return Error(Errc::kUnsupported,
               Cat(failure.peer, " does not speak TLS; ",
                   failure.we_are_client ? "check the port, or connect without TLS"
                                         : "it must connect with TLS"));
}

Error LostError(const TlsFailure& failure, std::string_view cause) {
  if (failure.was_connected) {
    return Error(Errc::kUnavailable, Cat("the connection to ", failure.peer, " was lost: ", cause));
  }
  return Error(Errc::kUnavailable,
               Cat(failure.peer, " ended the connection during the TLS handshake: ", cause));
}

// A server that ends a handshake while we are sending: its alert is behind what we can no longer
// send.
bool WasRefused(const TlsFailure& failure) {
  return failure.we_are_client && failure.answered && !failure.was_connected &&
         (failure.os_errno == EPIPE || failure.os_errno == ECONNRESET);
}

Error OtherError(const TlsFailure& failure) {
  std::array<char, 128> text{};
#if defined(MBEDTLS_ERROR_C)
  mbedtls_strerror(failure.status, text.data(), text.size());
#endif
  return Error(Errc::kUnavailable,
               Cat("TLS with ", failure.peer, " failed: ", std::string_view(text.data())));
}

}  // namespace

Error MakeTlsError(const TlsFailure& failure) {
  if (failure.plain)
    return PlainError(failure);
  if (failure.verify_flags != 0)
    return VerifyError(failure);
  switch (failure.status) {
    case 0:
      if (WasRefused(failure))
        return AlertError(failure);
      return LostError(failure, ToLower(ErrnoText(failure.os_errno)));
    case MBEDTLS_ERR_SSL_CONN_EOF:
      return LostError(failure, "it was closed without a farewell");
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
      return LostError(failure, "it was closed");
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
      return AlertError(failure);
    case MBEDTLS_ERR_SSL_INVALID_MAC:
      // The alert of a side that ends a TLS 1.3 handshake may be under other keys than are
      // expected.
      return failure.received_data ? OtherError(failure) : AlertError(failure);
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
      return Error(Errc::kDenied, Cat(failure.peer,
                                      " has no certificate; it must connect with one "
                                      "of the authority `client-ca` in ",
                                      failure.config_section));
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
      return Error(Errc::kNoSpace, Cat("out of memory for TLS with ", failure.peer));
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
      return Error(Errc::kUnsupported,
                   Cat(failure.peer, " speaks neither TLS 1.2 nor TLS 1.3; bring it up to date"));
    default:
      return OtherError(failure);
  }
}

}  // namespace wherry::tls
