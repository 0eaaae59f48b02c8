// What a tar archive says about one file, after long names, PAX records and sparse maps have been
// applied. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wherry::store {

enum class TarType : uint8_t {
  kRegular,
  kDirectory,
  kSymlink,
  kHardlink,
  kCharDevice,
  kBlockDevice,
  kFifo,
};

struct TarTime {
  int64_t seconds = 0;  // since 1970 UTC, may be negative
  uint32_t nanos = 0;   // 0 to 999999999, counted forward
};

struct TarXattr {
  std::string name;   // "security.capability"
  std::string value;  // any bytes
};

// One run of data in a sparse file; between runs there are holes.
struct SparseExtent {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct TarEntry {
  std::string
      name;  // as archived: may be absolute, contain "..", end in "/"; never a NUL, never empty
  std::string link_name;  // of links, as archived
  TarType type = TarType::kRegular;
  uint32_t mode = 0;  // permission bits, 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  TarTime mtime;
  uint64_t size = 0;  // of the file when unpacked, holes included; 0 unless regular
  std::vector<TarXattr> xattrs;
  bool sparse = false;
};

}  // namespace wherry::store
