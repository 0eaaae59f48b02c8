#include "store/file_at.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace wherry::store {

Result<> MakeDirAt(int dir, const std::string& name) {
  if (mkdirat(dir, name.c_str(), 0700) != 0 && errno != EEXIST)
    return FailSys("mkdir", name);
  return {};
}

Result<> WriteAt(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t count = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR)
      return FailSys("write");
    auto written = static_cast<size_t>(std::max<ssize_t>(count, 0));
    bytes = bytes.subspan(written);
    offset += written;
  }
  return {};
}

}  // namespace wherry::store
