// Headers of the tar archives that wherry writes: POSIX ustar, with a pax record where a size does
// not fit. Owner root, time 1970: the same content gives the same archive. Functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wherry::store {

// What precedes the content of a file. REQUIRES: `name` has at most 100 bytes.
std::string TarFileHeader(std::string_view name, uint64_t size);
// A directory; `name` ends in "/".
std::string TarDirHeader(std::string_view name);
// What follows the content of a file: zeros to the block boundary.
std::string TarPadding(uint64_t size);
// The end marker.
std::string TarEnd();

}  // namespace wherry::store
