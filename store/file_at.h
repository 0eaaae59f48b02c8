// Two small steps that several parts of the store take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/base/result.h"

namespace wherry::store {

// A directory of the store, mode 0700; there already is success.
Result<> MakeDirAt(int dir, const std::string& name);

// All of `bytes` at `offset` of an open file.
Result<> WriteAt(int fd, std::span<const std::byte> bytes, uint64_t offset);

}  // namespace wherry::store
