#include "engine/disk_use.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"

namespace wherry::engine {

namespace {

constexpr uint64_t kBlock = 512;

}  // namespace

uint64_t AllocatedBelow(int parent, const std::string& name) {
  struct stat info;
  if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return 0;
  uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
  if (!S_ISDIR(info.st_mode))
    return bytes / std::max<uint64_t>(info.st_nlink, 1);
  auto dir = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto names = dir ? ListDirFd(dir->get()) : Result<std::vector<std::string>>();
  if (!names)
    return bytes;
  for (const std::string& entry : *names)
    bytes += AllocatedBelow(dir->get(), entry);
  return bytes;
}

}  // namespace wherry::engine
