// What files take on the disk. Blocking. Thread-safe, no state.
#pragma once

#include <cstdint>
#include <string>

namespace wherry::engine {

// Allocated bytes of a file, or of a directory with all that is in it; a file with several names
// counts its share of each. Links are not followed; what disappears meanwhile is nothing.
uint64_t AllocatedBelow(int parent, const std::string& name);

}  // namespace wherry::engine
