#include "net/tls/config.h"

#include "core/base/text.h"
#include "net/tls/random.h"

namespace wherry::tls {

Config::Config(TlsTrust trust, int endpoint)
    : trust_(std::move(trust)), trusted_(trust_.ca_files), endpoint_(endpoint) {
  mbedtls_ssl_config_init(&ssl_);
}

Config::~Config() {
  mbedtls_ssl_config_free(&ssl_);
}

Result<std::shared_ptr<Config>> Config::Create(TlsTrust trust, const IdentityFiles& files,
                                               int endpoint) {
  std::shared_ptr<Config> config(new Config(std::move(trust), endpoint));
  if (config->trust_.ca_files.empty()) {
    return Fail(Errc::kInvalid,
                "no authority is known to verify certificates with: install the "
                "package ca-certificates, or name a file");
  }
  TRY(config->trusted_.Check());
  if (psa_crypto_init() != PSA_SUCCESS)
    return Fail(Errc::kUnavailable, "TLS cannot start: this system gives no random numbers");
  mbedtls_ssl_config& ssl = config->ssl_;
  if (mbedtls_ssl_config_defaults(&ssl, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    return Fail(Errc::kNoSpace, "out of memory for TLS");
  }
  mbedtls_ssl_conf_rng(&ssl, &Random, nullptr);
  mbedtls_ssl_conf_min_tls_version(&ssl, MBEDTLS_SSL_VERSION_TLS1_2);
  mbedtls_ssl_conf_authmode(&ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
  // No SHA-1, no RSA below 2048 bits.
  mbedtls_ssl_conf_cert_profile(&ssl, &mbedtls_x509_crt_profile_default);
  mbedtls_ssl_conf_ca_cb(&ssl, &TrustedCertificates::FindSigners, &config->trusted_);
#if defined(MBEDTLS_SSL_SESSION_TICKETS)
  if (endpoint == MBEDTLS_SSL_IS_CLIENT)
    mbedtls_ssl_conf_session_tickets(&ssl, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
  if (!files.certificate.empty() || !files.key.empty()) {
    config->identity_ = TRY(Identity::Load(files.certificate, files.key));
    if (mbedtls_ssl_conf_own_cert(&ssl, config->identity_->certificate(),
                                  config->identity_->key()) != 0) {
      return Fail(Errc::kNoSpace, "out of memory for TLS");
    }
  }
  return config;
}

Result<std::shared_ptr<const Config>> Config::Client(TlsTrust trust, const IdentityFiles& files) {
  return TRY(Create(std::move(trust), files, MBEDTLS_SSL_IS_CLIENT));
}

Result<std::shared_ptr<const Config>> Config::Server(TlsTrust trust, const IdentityFiles& files,
                                                     Answers answers) {
  std::shared_ptr<Config> config = TRY(Create(std::move(trust), files, MBEDTLS_SSL_IS_SERVER));
  config->answers_ = std::move(answers);
  // A client is refused after the handshake: mbedTLS 3.6 encrypts the alert with which its TLS 1.3
  // server ends a handshake by keys that the client does not use yet, and nobody could read why.
  mbedtls_ssl_conf_authmode(&config->ssl_, MBEDTLS_SSL_VERIFY_OPTIONAL);
  return config;
}

}  // namespace wherry::tls
