#include "core/base/text.h"
#include "net/http/server.h"

namespace wherry::http {

std::string_view Request::header(std::string_view name) const {
  return FindHeader(headers, name);
}

std::string_view Request::param(std::string_view name) const {
  auto found = query.find(std::string(name));
  return found == query.end() ? std::string_view() : found->second;
}

bool Request::has_param(std::string_view name) const {
  return query.contains(std::string(name));
}

bool Request::flag(std::string_view name, bool fallback) const {
  if (!has_param(name)) {
    return fallback;
  }
  constexpr std::string_view kFalse[] = {"", "0", "no", "false", "none"};
  for (std::string_view word : kFalse) {
    if (EqualsIgnoreCase(param(name), word)) {
      return false;
    }
  }
  return true;
}

}  // namespace wherry::http
