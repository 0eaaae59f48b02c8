// Whether a file system can hold what is to be written, and whether it can hold a store at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::store {

// Ends a sentence that refuses a file system.
inline constexpr std::string_view kFileSystemRemedy =
    "; put the data on ext4, f2fs, btrfs, xfs or UBIFS, without the feature casefold, with 'root' "
    "in the configuration or --root";

// kNoSpace when `needed_bytes` more would leave less than `reserve_bytes` of the file system that
// `fd` is on.
Result<> CheckFreeSpace(int fd, uint64_t needed_bytes, uint64_t reserve_bytes);

// kUnsupported, with the remedy, when overlayfs could not use the file system of the open directory
// (overlay, network, FAT and FUSE file systems, case-insensitive directories).
Result<> CheckBacking(int dir, const std::string& path);

// Tries what layers need in the open directory: device nodes as whiteouts and trusted.* attributes.
// kUnsupported or kDenied with the remedy. Leaves nothing behind.
Result<> ProbeBacking(int dir, const std::string& path);

}  // namespace wherry::store
