#include "net/http/curl_error.h"

#include <gtest/gtest.h>
#include <mbedtls/x509.h>

#include <cerrno>

namespace wherry::http {
namespace {

struct Case {
  CurlFailure failure;
  Errc code;
  std::string_view says;
};

TEST(CurlError, OneSentenceWithHostCauseAndRemedy) {
  constexpr std::string_view kHost = "example.org:5000";
  const Case cases[] = {
      {{CURLE_COULDNT_RESOLVE_HOST, kHost, ""}, Errc::kUnavailable, "its name is not known"},
      {{CURLE_COULDNT_CONNECT, kHost, "", ECONNREFUSED}, Errc::kUnavailable, "connection refused"},
      {{CURLE_COULDNT_CONNECT, kHost, "", ECONNREFUSED, true},
       Errc::kUnavailable,
       "through the proxy"},
      {{CURLE_OPERATION_TIMEDOUT, kHost, "Connection timed out after 15000 ms"},
       Errc::kTimeout,
       "no answer in time"},
      {{CURLE_OPERATION_TIMEDOUT, kHost, "Resolving timed out after 15000 ms"},
       Errc::kTimeout,
       "no name server"},
      {{CURLE_PEER_FAILED_VERIFICATION, kHost, "", 0, false, MBEDTLS_X509_BADCERT_NOT_TRUSTED},
       Errc::kDenied,
       "not signed by a trusted authority"},
      {{CURLE_PEER_FAILED_VERIFICATION, kHost, "", 0, false,
        MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_NOT_TRUSTED},
       Errc::kDenied,
       "has expired"},
      {{CURLE_PEER_FAILED_VERIFICATION, kHost, "", 0, false, MBEDTLS_X509_BADCERT_FUTURE},
       Errc::kDenied,
       "clock"},
      {{CURLE_PEER_FAILED_VERIFICATION, kHost, "", 0, false, MBEDTLS_X509_BADCERT_CN_MISMATCH,
        "a.example"},
       Errc::kDenied,
       "for another name (a.example)"},
      {{CURLE_SSL_CONNECT_ERROR, kHost, "ssl_handshake returned: (-0x7200) SSL - ..."},
       Errc::kUnsupported,
       "insecure = true"},
      {{CURLE_SSL_CONNECT_ERROR, kHost, "ssl_handshake returned: (-0x7780) SSL - ..."},
       Errc::kDenied,
       "client-cert"},
      {{CURLE_RECV_ERROR, kHost, "ssl_read returned: (-0x7780) SSL - ..."},
       Errc::kDenied,
       "client-cert"},
      {{CURLE_RECV_ERROR, kHost, "CONNECT tunnel failed, response 403"},
       Errc::kUnavailable,
       "response 403"},
      {{CURLE_RECV_ERROR, kHost, ""}, Errc::kUnavailable, "was lost"},
      {{CURLE_PARTIAL_FILE, kHost, ""}, Errc::kUnavailable, "was lost"},
      {{CURLE_UNSUPPORTED_PROTOCOL, kHost, ""}, Errc::kInvalid, "does not answer in HTTP"},
      {{CURLE_READ_ERROR, kHost, ""}, Errc::kUnavailable, "failed"},
  };
  for (const Case& c : cases) {
    Error error = MakeCurlError(c.failure);
    EXPECT_EQ(error.code(), c.code) << error.message();
    EXPECT_NE(error.message().find(c.says), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(kHost), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace wherry::http
