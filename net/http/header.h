// One header field of an HTTP message (RFC 9110 section 5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wherry::http {

struct Header {
  std::string name;
  std::string value;
};

// The first value under `name`, compared without case; empty when absent.
std::string_view FindHeader(const std::vector<Header>& headers, std::string_view name);

}  // namespace wherry::http
