// PAX extended header records: "<length> <key>=<value>\n" (POSIX.1-2017 pax), with GNU tar's sparse
// formats 0.0, 0.1, 1.0 and SCHILY.xattr. Unknown keys are ignored. Functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::store {

// More extents than this in one file are refused: each takes 16 bytes of memory.
inline constexpr size_t kMaxSparseExtents = 64 << 10;

// What the records override for the entry that follows; absent: the header's own value counts.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link_path;
  std::optional<uint64_t> size;
  std::optional<int64_t> uid;
  std::optional<int64_t> gid;
  std::optional<TarTime> mtime;
  std::vector<TarXattr> xattrs;

  std::optional<uint64_t> sparse_major;      // 1: the map is in front of the data
  std::optional<uint64_t> sparse_size;       // size when unpacked
  std::optional<uint64_t> sparse_count;      // formats 0.0 and 0.1: announced extents
  std::optional<std::string> sparse_name;    // the real name in formats 0.1 and 1.0
  std::vector<SparseExtent> sparse_extents;  // formats 0.0 and 0.1
  bool sparse_offset_open = false;           // format 0.0: an offset waits for its size

  bool sparse() const { return sparse_major || sparse_count || !sparse_extents.empty(); }
};

// Applies the records in `body` to `out`: later ones win, an empty value takes an override back.
// kInvalid on a malformed record or value.
Result<> ParsePax(std::string_view body, PaxRecords& out);

// "12.5", "-1.25", "7"; finer than a nanosecond is cut.
Result<TarTime> ParsePaxTime(std::string_view text);

}  // namespace wherry::store
