// Files by descriptor: whole reads and writes, and the one way persistent state reaches the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry {

// "/a/b" -> {"/a", "b"}; "b" -> {".", "b"}; "/" -> {"/", ""}. Trailing slashes do not count.
struct PathParts {
  std::string dir;
  std::string name;
};
PathParts SplitPath(std::string_view path);

// openat(2) with O_CLOEXEC added. `dir` is AT_FDCWD or a directory descriptor.
Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, uint32_t mode = 0);
Result<UniqueFd> Open(const std::string& path, int flags, uint32_t mode = 0);
// A directory, O_RDONLY|O_DIRECTORY.
Result<UniqueFd> OpenDir(const std::string& path);

// The whole content; kInvalid when it is longer than `limit` (sizes from files are hostile).
Result<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);
Result<std::string> ReadFileAt(int dir, const std::string& path, size_t limit = 1 << 20);
Result<std::string> ReadAll(int fd, size_t limit, std::string_view name);

// All bytes or an error; EINTR and short writes are handled. Blocking descriptors only.
Result<> WriteAll(int fd, std::string_view bytes, std::string_view name);
Result<> WriteAll(int fd, std::span<const std::byte> bytes, std::string_view name);

// One write(2) of `content` to an existing file (sysfs, cgroupfs, procfs): never creates.
Result<> WriteExisting(const std::string& path, std::string_view content);
Result<> WriteExistingAt(int dir, const std::string& path, std::string_view content);

// Persistent: survives power loss (temporary file, fsync, rename, fsync of the directory).
// Volatile: the same without fsync, for tmpfs. Readers see the old or the new content, never a
// mixture.
enum class Durability : uint8_t { kPersistent, kVolatile };
Result<> ReplaceFileAt(int dir, const std::string& name, std::string_view content, uint32_t mode,
                       Durability durability);
Result<> ReplaceFile(const std::string& path, std::string_view content, uint32_t mode,
                     Durability durability);

// mkdir -p; existing directories keep their mode, new ones get `mode`.
Result<> MakeDirs(const std::string& path, uint32_t mode);
// Removes a file or a whole tree without following symbolic links; absent is success. A mount point
// inside is kBusy. `name` is one component below `dir`.
Result<> RemoveTreeAt(int dir, const std::string& name);
Result<> RemoveTree(const std::string& path);

// Entry names without "." and "..", unsorted.
Result<std::vector<std::string>> ListDir(const std::string& path);
Result<std::vector<std::string>> ListDirFd(int dir);
// The same names one after the other, for directories of any size. `use` may remove the entry; its
// first error ends it.
Result<> ForEachEntry(int dir, const std::function<Result<>(const char* name)>& use);
bool PathExists(const std::string& path);

}  // namespace wherry
