// What one side of TLS connections needs: whom it trusts, who it is itself. TLS 1.2 and 1.3,
// authenticated ciphers only, no session tickets. Immutable and shared by its connections.
#pragma once

#include <mbedtls/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "net/tls/identity.h"
#include "net/tls/trusted_certificates.h"

namespace wherry::tls {

struct TlsTrust {
  std::vector<std::string> ca_files;  // PEM; must not be empty
  // Where a person names the authority's file: "[mqtt]". For errors.
  std::string config_section;
};

struct IdentityFiles {
  std::string certificate;
  std::string key;
};

// What a server tells in the protocol above TLS, so that a person reads why.
struct Answers {
  std::string plain;  // to who does not begin with TLS
  // To a client whose certificate is missing or refused, inside TLS, before the end.
  std::string (*refusal)(std::string_view reason) = nullptr;
};

class Config {
 public:
  // `files` may be empty: no certificate of our own.
  static Result<std::shared_ptr<const Config>> Client(TlsTrust trust, const IdentityFiles& files);
  // Clients must have a certificate of an authority in `trust`.
  static Result<std::shared_ptr<const Config>> Server(TlsTrust trust, const IdentityFiles& files,
                                                      Answers answers);
  ~Config();
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  const TlsTrust& trust() const { return trust_; }
  const TrustedCertificates& trusted() const { return trusted_; }
  const mbedtls_ssl_config& ssl() const { return ssl_; }
  bool is_client() const { return endpoint_ == MBEDTLS_SSL_IS_CLIENT; }
  const Answers& answers() const { return answers_; }
  bool has_identity() const { return identity_ != nullptr; }

 private:
  Config(TlsTrust trust, int endpoint);
  static Result<std::shared_ptr<Config>> Create(TlsTrust trust, const IdentityFiles& files,
                                                int endpoint);

  TlsTrust trust_;
  TrustedCertificates trusted_;
  int endpoint_;
  Answers answers_;
  std::unique_ptr<Identity> identity_;
  mbedtls_ssl_config ssl_;
};

}  // namespace wherry::tls
