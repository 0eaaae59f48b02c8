// The refs file: every name of every image, in one small text that is replaced as a whole. Format
// in docs/store.md. Pure text here.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::store {

using RefMap = std::map<std::string, Digest, std::less<>>;  // name -> manifest digest

inline constexpr size_t kMaxRefsBytes = 16 << 20;

std::string EncodeRefs(const RefMap& refs);
// kCorrupt unless checksum and structure are right.
Result<RefMap> DecodeRefs(std::string_view content);

// kInvalid: empty, longer than 1024 bytes, with white space or control characters.
Result<> CheckRefName(std::string_view name);

}  // namespace wherry::store
