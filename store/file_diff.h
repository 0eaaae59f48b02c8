// What a file has in common with an older one, as bsdiff sees it: stretches that agree in most
// bytes, so that addresses that moved inside a program cost little, and what is new between them.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace wherry::store {

// Files beyond this are not compared.
inline constexpr size_t kMaxDiffBytes = size_t{256} << 20;

// `match` bytes that resemble as many of the old file at `old_at`, then `fresh` bytes that do not.
struct DiffPiece {
  size_t old_at = 0;
  size_t match = 0;
  size_t fresh = 0;
};

// All of `to`, in order. Time and memory grow with the sizes: some 6 bytes for each of `from`.
// REQUIRES: both have at most kMaxDiffBytes.
std::vector<DiffPiece> DiffBytes(std::string_view from, std::string_view to);

}  // namespace wherry::store
