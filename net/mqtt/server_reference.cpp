#include "net/mqtt/server_reference.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::mqtt {

namespace {

bool IsHost(std::string_view host, bool bracketed) {
  constexpr size_t kMostHost = 253;
  auto fits = [bracketed](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || c == '.' || (bracketed ? c == ':' : c == '-');
  };
  return !host.empty() && host.size() <= kMostHost && std::all_of(host.begin(), host.end(), fits);
}

}  // namespace

std::optional<ServerReference> ParseServerReference(std::string_view text, uint16_t default_port) {
  text = Trim(text);
  text = text.substr(0, text.find(' '));
  ServerReference reference{{}, default_port};
  std::string_view host = text;
  std::string_view port;
  bool bracketed = text.starts_with('[');
  if (bracketed) {
    size_t end = text.find(']');
    if (end == std::string_view::npos)
      return std::nullopt;
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':')
      return std::nullopt;
  } else if (size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (!port.empty()) {
    auto number = ParseUint(port.substr(1));
    if (!number || *number == 0 || *number > 65535)
      return std::nullopt;
    reference.port = static_cast<uint16_t>(*number);
  }
  if (!IsHost(host, bracketed))
    return std::nullopt;
  reference.host = host;
  return reference;
}

}  // namespace wherry::mqtt
