// Connections to Unix sockets by path.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

// `type`: SOCK_STREAM, SOCK_DGRAM. A path that begins with '@' is in the abstract namespace. Blocks
// while a stream's listener has no room for one more.
Result<UniqueFd> ConnectUnix(const std::string& path, int type);

}  // namespace wherry::sys
