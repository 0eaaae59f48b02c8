// Trusted certificates, looked up in PEM files at the moment a server's certificate is verified: a
// bundle of 140 authorities is never held in memory, and nothing is parsed but the one or two
// certificates that can have signed the server's. RFC 5280 path building is mbedTLS's; this only
// offers candidates.
#pragma once

#include <mbedtls/x509_crt.h>

#include <string>
#include <vector>

#include "core/base/result.h"

namespace wherry::tls {

class TrustedCertificates {
 public:
  explicit TrustedCertificates(std::vector<std::string> files) : files_(std::move(files)) {}

  // kInvalid naming the first file that cannot be read or holds no certificate.
  Result<> Check() const;

  // Certificates that name the issuer of `child` (names are compared byte by byte, RFC 5280
  // section 7.1 asks issuers to copy them). The list is allocated for mbedTLS, which frees it.
  // Signature of mbedtls_x509_crt_ca_cb_t; `self` is this object.
  static int FindSigners(void* self, const mbedtls_x509_crt* child, mbedtls_x509_crt** signers);

  // True when a self-issued server certificate is itself in the files: then it is trusted though it
  // is no authority.
  bool Holds(const mbedtls_x509_crt& certificate) const;

 private:
  std::vector<std::string> files_;
};

// The system's bundle: SSL_CERT_FILE of the environment, else the first of the usual places. Empty:
// there is none.
std::string SystemCaFile();

}  // namespace wherry::tls
