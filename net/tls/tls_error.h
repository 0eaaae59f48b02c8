// TLS failures in sentences.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::tls {

struct TlsFailure {
  std::string_view peer;  // "host:8883"
  int status = 0;         // MBEDTLS_ERR_*; 0: the socket failed with `os_errno`
  int os_errno = 0;
  uint32_t verify_flags = 0;  // MBEDTLS_X509_BADCERT_* of the other side's chain
  std::string_view names;     // what its certificate is for, when that is another name
  std::string_view config_section;
  bool we_are_client = true;
  bool has_identity = false;  // we have a certificate
  bool plain = false;         // the other side began with something else than TLS
  bool was_connected = false;
  bool answered = false;       // the other side has said anything
  bool received_data = false;  // of the application
};

Error MakeTlsError(const TlsFailure& failure);

}  // namespace wherry::tls
