// A message with a descriptor over a socket of AF_UNIX (unix(7), SCM_RIGHTS).
#pragma once

#include <string_view>

#include "core/base/result.h"

namespace wherry::sys {

// Sends `bytes` (at least one) as one message, and `fd` (borrowed) with it; -1: none. `what` is the
// other side's name in errors.
Result<> SendFd(int socket, std::string_view bytes, int fd, std::string_view what);

}  // namespace wherry::sys
