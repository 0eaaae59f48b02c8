// Addresses of HTTP requests (RFC 3986), by libcurl's parser: the same one that sends them. Pure.
#pragma once

#include <string>

#include "core/base/result.h"

namespace wherry::http {

// Whom a request goes to, and how: credentials given to one origin are not for another (RFC 6454).
struct Origin {
  std::string scheme;  // "https", "http"
  std::string host;    // lower case, without brackets
  int port = 0;

  bool operator==(const Origin&) const = default;
  // "example.org", "example.org:5000", "[::1]:5000": without the port that the scheme implies.
  std::string authority() const;
};

// kInvalid for what is not an http or https address.
Result<Origin> OriginOf(const std::string& text);
// What a Location header means in an answer from `base`; fragments are dropped.
Result<std::string> ResolveUrl(const std::string& base, const std::string& location);

}  // namespace wherry::http
