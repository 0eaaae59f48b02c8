// User and group ids of a user namespace (user_namespaces(7)): ranges that have one number inside
// and another one outside, in the namespace of whoever wrote them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace wherry {

struct IdRange {
  uint32_t inside = 0;   // first id, "containerID"
  uint32_t outside = 0;  // what it is outside, "hostID"
  uint32_t count = 0;
};
using IdMap = std::vector<IdRange>;

struct IdMaps {
  IdMap users;
  IdMap groups;
};

// What `inside` is outside; absent where it is nobody.
inline std::optional<uint32_t> OutsideId(const IdMap& map, uint32_t inside) {
  for (const IdRange& range : map) {
    if (inside >= range.inside && inside - range.inside < range.count)
      return range.outside + (inside - range.inside);
  }
  return std::nullopt;
}

// The other way round.
inline std::optional<uint32_t> InsideId(const IdMap& map, uint32_t outside) {
  for (const IdRange& range : map) {
    if (outside >= range.outside && outside - range.outside < range.count)
      return range.inside + (outside - range.outside);
  }
  return std::nullopt;
}

}  // namespace wherry
