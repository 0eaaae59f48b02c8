// Which tier (store.h) a kernel and a file system can do: found by trying, not by versions.
#pragma once

#include <optional>
#include <string>

#include "core/base/result.h"
#include "store/store.h"

namespace wherry::store {

// The best tier that works, or `wanted` when that does. `scratch`: an open directory on the file
// system of the store, and its path; left as it was. Mounts in a mount namespace of its own.
// kUnsupported: `wanted` does not work here, and why; or overlayfs refuses the file system.
Result<Tier> ChooseTier(std::optional<Tier> wanted, int scratch, const std::string& path);

}  // namespace wherry::store
