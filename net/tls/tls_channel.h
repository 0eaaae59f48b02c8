// A TLS side of a channel, by mbedTLS (RFC 5246, RFC 8446).
#pragma once

#include <memory>
#include <string>

#include "net/tls/channel.h"
#include "net/tls/config.h"

namespace wherry::tls {

// `host` is the name or address the server's certificate must be for; empty on a server, whose
// clients are known by who they are. `name` is what errors call the other side ("host:8883").
// kNoSpace when memory is short. REQUIRES: `fd` is a connected, non-blocking socket.
Result<std::unique_ptr<Channel>> TlsChannel(UniqueFd fd, std::shared_ptr<const Config> config,
                                            const std::string& host, std::string name);

}  // namespace wherry::tls
