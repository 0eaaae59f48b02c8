// Our own certificate and private key. The key is in memory once and is wiped when it goes.
#pragma once

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include <memory>
#include <string>

#include "core/base/result.h"

namespace wherry::tls {

class Identity {
 public:
  // PEM files: the certificate with what leads to its authority, and its key, without a pass
  // phrase. kDenied when other users of this system may read the key; kInvalid when a file is none
  // of its kind or the two do not belong together. Errors name the file.
  static Result<std::unique_ptr<Identity>> Load(const std::string& certificate_file,
                                                const std::string& key_file);
  ~Identity();
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  mbedtls_x509_crt* certificate() { return &certificate_; }
  mbedtls_pk_context* key() { return &key_; }

 private:
  Identity();

  mbedtls_x509_crt certificate_;
  mbedtls_pk_context key_;
};

}  // namespace wherry::tls
