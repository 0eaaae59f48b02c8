// Why mbedTLS refused a certificate, in words for people.
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wherry::tls {

struct VerifyProblem {
  uint32_t flag;  // MBEDTLS_X509_BADCERT_*
  std::string_view cause;
  std::string_view remedy;
};

// The most telling of `flags`; nullopt when none of them is known. The remedy for an untrusted
// authority ends with "as `ca`": the caller says where.
std::optional<VerifyProblem> DescribeVerifyFlags(uint32_t flags);

// The host names a certificate is for, as far as they are printable: "a.example, b.example".
std::string NamesOf(const mbedtls_x509_crt& certificate);

}  // namespace wherry::tls
