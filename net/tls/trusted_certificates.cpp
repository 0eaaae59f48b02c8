#include "net/tls/trusted_certificates.h"

#include <mbedtls/platform.h>

#include <cstdlib>
#include <memory>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::tls {

namespace {

constexpr size_t kMaxFile = 8 << 20;
constexpr std::string_view kCaFiles[] = {
    "/etc/ssl/certs/ca-certificates.crt",  // Debian, Raspberry Pi OS, Alpine, Yocto
    "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora
    "/etc/ssl/ca-bundle.pem",              // openSUSE
    "/etc/ssl/cert.pem",
};
constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

std::string_view View(const mbedtls_x509_buf& bytes) {
  return {static_cast<const char*>(static_cast<const void*>(bytes.p)), bytes.len};
}

// Calls `visit` with each certificate of a PEM text in DER; stops when it returns false.
template <class Visit>
void ForEachCertificate(std::string_view pem, Visit visit) {
  std::string base64;
  for (;;) {
    size_t begin = pem.find(kBegin);
    if (begin == std::string_view::npos)
      return;
    pem.remove_prefix(begin + kBegin.size());
    size_t end = pem.find(kEnd);
    if (end == std::string_view::npos)
      return;
    base64.clear();
    for (char c : pem.substr(0, end)) {
      if (c > ' ')
        base64 += c;
    }
    auto der = Base64Decode(base64);
    if (der && !visit(std::string_view(*der)))
      return;
    pem.remove_prefix(end);
  }
}

template <class Visit>
void ForEachInFiles(const std::vector<std::string>& files, Visit visit) {
  for (const std::string& file : files) {
    auto pem = ReadFile(file, kMaxFile);
    if (pem)
      ForEachCertificate(*pem, visit);
  }
}

struct ListDeleter {
  void operator()(mbedtls_x509_crt* list) const {
    mbedtls_x509_crt_free(list);
    mbedtls_free(list);
  }
};
using List = std::unique_ptr<mbedtls_x509_crt, ListDeleter>;

bool Append(List& list, std::string_view der) {
  if (list == nullptr) {
    list.reset(static_cast<mbedtls_x509_crt*>(mbedtls_calloc(1, sizeof(mbedtls_x509_crt))));
    if (list == nullptr)
      return false;
    mbedtls_x509_crt_init(list.get());
  }
  // What mbedTLS cannot parse (an old authority with unknown algorithms) is no candidate.
  (void)mbedtls_x509_crt_parse_der(
      list.get(), static_cast<const unsigned char*>(static_cast<const void*>(der.data())),
      der.size());
  return true;
}

}  // namespace

Result<> TrustedCertificates::Check() const {
  for (const std::string& file : files_) {
    auto pem = ReadFile(file, kMaxFile);
    if (!pem)
      return Fail(Errc::kInvalid, Cat("the CA file cannot be used: ", pem.error().message()));
    bool any = false;
    ForEachCertificate(*pem, [&any](std::string_view) {
      any = true;
      return false;
    });
    if (!any)
      return Fail(Errc::kInvalid, Cat("the CA file ", file, " holds no certificate in PEM form"));
  }
  return {};
}

int TrustedCertificates::FindSigners(void* self, const mbedtls_x509_crt* child,
                                     mbedtls_x509_crt** signers) {
  const auto& files = static_cast<const TrustedCertificates*>(self)->files_;
  std::string_view issuer = View(child->issuer_raw);
  List list;
  bool memory = true;
  ForEachInFiles(files, [&](std::string_view der) {
    if (der.find(issuer) != std::string_view::npos)
      memory &= Append(list, der);
    return memory;
  });
  if (!memory)
    return MBEDTLS_ERR_X509_ALLOC_FAILED;
  *signers = list.release();
  return 0;
}

bool TrustedCertificates::Holds(const mbedtls_x509_crt& certificate) const {
  if (View(certificate.issuer_raw) != View(certificate.subject_raw))
    return false;
  bool found = false;
  ForEachInFiles(files_, [&](std::string_view der) {
    found |= der == View(certificate.raw);
    return !found;
  });
  return found;
}

std::string SystemCaFile() {
  if (const char* file = secure_getenv("SSL_CERT_FILE"); file != nullptr && file[0] != '\0')
    return file;
  for (std::string_view file : kCaFiles) {
    if (PathExists(std::string(file)))
      return std::string(file);
  }
  return {};
}

}  // namespace wherry::tls
