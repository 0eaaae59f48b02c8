// The digest of what an open file holds on the disk, in bounded memory.
#pragma once

#include <cstdint>
#include <functional>

#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::store {

// Told of each piece that was read; false ends it with kCancelled. May be empty.
using HashProgress = std::function<bool(uint64_t bytes)>;

// From the beginning. Clean pages are dropped first, so that the medium is read and not what memory
// still has of it, and afterwards, so that reading much leaves the cache to others.
Result<Digest> HashFile(int fd, const HashProgress& progress);

}  // namespace wherry::store
