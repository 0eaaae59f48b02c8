// libcurl's and mbedTLS's failures in sentences for people.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::http {

struct CurlFailure {
  CURLcode code;
  std::string_view host;      // "example.org:5000"
  std::string_view detail;    // libcurl's error buffer
  long os_errno = 0;          // of the connection attempt
  uint32_t verify_flags = 0;  // MBEDTLS_X509_BADCERT_*, 0: not seen
};

Error MakeCurlError(const CurlFailure& failure);

}  // namespace wherry::http
