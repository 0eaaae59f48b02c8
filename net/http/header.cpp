#include "net/http/header.h"

#include "core/base/text.h"

namespace wherry::http {

std::string_view FindHeader(const std::vector<Header>& headers, std::string_view name) {
  for (const Header& header : headers) {
    if (EqualsIgnoreCase(header.name, name)) {
      return header.value;
    }
  }
  return {};
}

}  // namespace wherry::http
