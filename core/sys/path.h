// Path resolution that cannot leave a directory tree: openat2(RESOLVE_IN_ROOT) with a
// component-wise walk where openat2 is missing or filtered. The result is a descriptor; callers act
// on it and never on the path again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

// Opens `path` as if `root` were "/": absolute links and ".." stay inside; magic links of procfs
// are refused (kInvalid). O_CLOEXEC is added; O_CREAT is not allowed. Errors: kNotFound, kDenied,
// kInvalid (too many links).
Result<UniqueFd> OpenInRoot(int root, const std::string& path, int flags);

// Like OpenInRoot, but following no link at all, staying on the mount of `root`: for procfs and
// other trees that must not be redirected.
Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags);

enum class CreateAs : uint8_t { kDirectory, kFile };

// An O_PATH descriptor of `path` inside `root`. Missing components are created one by one:
// directories with `mode`, the last one an empty regular file for kFile. Existing components, links
// included, are resolved inside the root.
Result<UniqueFd> OpenOrCreateInRoot(int root, const std::string& path, CreateAs kind,
                                    uint32_t mode = 0755);

// "a//b/./c/" -> "/a/b/c"; ".." is removed against what precedes it and never above "/".
std::string CleanPath(std::string_view path);

// Only for tests: behave as a kernel without openat2.
void PretendNoOpenat2(bool missing);

}  // namespace wherry::sys
