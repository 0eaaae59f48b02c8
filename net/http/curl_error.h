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
  std::string_view host;         // "example.org:5000"
  std::string_view detail = {};  // libcurl's error buffer
  long os_errno = 0;             // of the connection attempt
  bool proxy = false;            // the connection is, or was to be, through a proxy
  uint32_t verify_flags = 0;     // MBEDTLS_X509_BADCERT_*; 0: no certificate was refused
  std::string_view names = {};  // what the server's certificate is for, when it is for another name
};

Error MakeCurlError(const CurlFailure& failure);

}  // namespace wherry::http
