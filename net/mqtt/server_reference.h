// Where a broker sends its clients: Server Reference (4.13).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wherry::mqtt {

struct ServerReference {
  std::string host;
  uint16_t port = 0;
};

// The first of a list divided by blanks: "host", "host:port", "[v6]:port". nullopt for what is no
// host or longer than 255 bytes.
std::optional<ServerReference> ParseServerReference(std::string_view text, uint16_t default_port);

}  // namespace wherry::mqtt
