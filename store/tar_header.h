// Decoding of one 512-byte tar header block: V7, POSIX ustar, star and GNU, with octal and base-256
// numbers (POSIX.1-2017 pax, GNU tar manual "Basic Tar Format"). Functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::store {

inline constexpr size_t kTarBlock = 512;

struct TarHeader {
  std::string name;  // prefix joined
  std::string link_name;
  char type = '0';
  int64_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t mtime = 0;
  int64_t device_major = 0;
  int64_t device_minor = 0;
  uint64_t size = 0;  // of the data that follows
  // GNU type 'S' only: file size, first extents, and whether extension blocks follow.
  uint64_t sparse_size = 0;
  std::vector<SparseExtent> extents;
  bool extents_continue = false;
};

// REQUIRES: block.size() == kTarBlock. kInvalid: bad checksum or number, negative size.
Result<TarHeader> DecodeTarHeader(std::string_view block);

// One extension block of a GNU type 'S' header: appends to `extents`, returns whether another block
// follows.
Result<bool> DecodeSparseExtension(std::string_view block, std::vector<SparseExtent>& extents);

bool IsZeroBlock(std::string_view block);

// A number field: octal text padded with blanks or NULs (blank: 0), or base-256 two's complement.
Result<int64_t> DecodeTarNumber(std::string_view field, std::string_view what);

}  // namespace wherry::store
