#include "net/tls/verify_problem.h"

#include <mbedtls/asn1.h>

#include <algorithm>

#include "core/base/text.h"

namespace wherry::tls {

namespace {

constexpr std::string_view kWeakRemedy =
    "have it issued again with SHA-256 and a key of 2048 bits (RSA) or P-256";

// The most telling flag first: several may be set.
constexpr VerifyProblem kProblems[] = {
    {MBEDTLS_X509_BADCERT_EXPIRED, "its certificate has expired",
     "renew it, or set this device's clock"},
    {MBEDTLS_X509_BADCERT_FUTURE, "its certificate is not valid yet", "set this device's clock"},
    {MBEDTLS_X509_BADCERT_REVOKED, "its certificate was revoked", "ask its administrator"},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, "its certificate is for another name",
     "use a name that is in the certificate, or have it issued for this one"},
    {MBEDTLS_X509_BADCERT_BAD_MD, "its certificate is signed with an outdated digest", kWeakRemedy},
    {MBEDTLS_X509_BADCERT_BAD_PK, "its certificate has an outdated kind of key", kWeakRemedy},
    {MBEDTLS_X509_BADCERT_BAD_KEY, "its certificate has a key that is too short", kWeakRemedy},
    {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "its certificate is not made for servers",
     "have it issued for TLS servers"},
    {MBEDTLS_X509_BADCERT_KEY_USAGE, "its certificate is not made for this use",
     "have it issued for TLS servers"},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "its certificate is not signed by a trusted authority",
     "name the authority's file as `ca`"},
};

}  // namespace

std::optional<VerifyProblem> DescribeVerifyFlags(uint32_t flags) {
  for (const VerifyProblem& problem : kProblems) {
    if ((flags & problem.flag) != 0)
      return problem;
  }
  return std::nullopt;
}

std::string NamesOf(const mbedtls_x509_crt& certificate) {
  constexpr int kDnsName = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
  constexpr size_t kMost = 200;
  std::string names;
  for (const mbedtls_x509_sequence* name = &certificate.subject_alt_names; name != nullptr;
       name = name->next) {
    if (name->buf.tag != kDnsName || names.size() + name->buf.len > kMost)
      continue;
    std::string_view text(static_cast<const char*>(static_cast<const void*>(name->buf.p)),
                          name->buf.len);
    bool printable =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (printable)
      Append(names, names.empty() ? "" : ", ", text);
  }
  return names;
}

}  // namespace wherry::tls
