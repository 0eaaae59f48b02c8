// What the kernel's answer to a transaction of nf_tables means for the user. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/result.h"

namespace wherry::net {

// The same error, or kUnsupported naming the part of nf_tables the kernel lacks and the option to
// build it with. `message` is the request at fault with its nlmsghdr (empty: unknown), `offset`
// where in it (0: unknown).
Error ExplainNftError(Error error, std::span<const uint8_t> message, uint32_t offset);

}  // namespace wherry::net
