// The checks of a release's apps from outside: a TCP connection, an answer of HTTP. Blocking, a few
// seconds at most; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "net/link/address.h"

namespace wherry::engine {

// One sentence when nobody accepts a connection.
Result<> CheckTcp(net::Ipv4 address, uint16_t port);

// GET `path`: 200 to 399 is good, whatever the body. No redirect is followed and no proxy asked.
Result<> CheckHttp(net::Ipv4 address, uint16_t port, std::string_view path);

}  // namespace wherry::engine
