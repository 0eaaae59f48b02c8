// How much a container may write to its own layer: HostConfig.StorageOpt "size", by a project
// quota. Blocking: workers.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/result.h"
#include "store/store.h"

namespace wherry::engine {

// kUnsupported with reason and remedy where the file system of the daemon's data cannot.
Result<> CheckQuota(const std::string& root);

// upper/ and work/ of a container's directory, which may hold `bytes` together; 0: any number.
// There already is success.
Result<> MakeLayer(const std::string& directory, const store::RootFs& root, uint64_t bytes);

// Removes the directory, and the quota with it.
Result<> RemoveLayer(const std::string& directory);

}  // namespace wherry::engine
