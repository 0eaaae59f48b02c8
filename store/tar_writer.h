// Headers of the tar archives that wherry writes: POSIX ustar, with pax records where something
// does not fit. Functions without state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "store/tar_entry.h"

namespace wherry::store {

// What precedes the content of `entry`, whose time is told in whole seconds. `extents`: the data of
// a sparse file, in order, as GNU tar's format 1.0; their bytes alone follow, then TarPadding of
// their sum.
std::string TarEntryHeader(const TarEntry& entry, std::span<const SparseExtent> extents = {});

// Archives whose bytes follow from the content alone: owner root, time 1970.
// What precedes the content of a file. REQUIRES: `name` has at most 100 bytes.
std::string TarFileHeader(std::string_view name, uint64_t size);
// A directory; `name` ends in "/".
std::string TarDirHeader(std::string_view name);
// What follows the content of a file: zeros to the block boundary.
std::string TarPadding(uint64_t size);
// The end marker.
std::string TarEnd();

}  // namespace wherry::store
