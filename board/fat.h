// Where a small file lies on a FAT file system that is not mounted. FAT12, 16 and 32 as Microsoft's
// "FAT: General Overview of On-Disk Format" 1.03 has them; reads only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/result.h"

namespace wherry::board {

inline constexpr size_t kSector = 512;

struct FatFile {
  uint64_t offset = 0;  // of its first cluster, from the begin of the file system
  uint32_t size = 0;
};

// `name`: 8 + 3 characters as the directory has them, "AUTOBOOTTXT". kInvalid for what is no FAT,
// kNotFound.
Result<FatFile> FindInFatRoot(int file, std::string_view name);

}  // namespace wherry::board
