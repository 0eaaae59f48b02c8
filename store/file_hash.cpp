#include "store/file_hash.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace wherry::store {

Result<Digest> HashFile(int fd, const HashProgress& progress) {
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  Hasher hasher;
  std::array<std::byte, 32768> buffer;
  for (off_t at = 0;;) {
    ssize_t count = pread(fd, buffer.data(), buffer.size(), at);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return FailSys("read");
    if (count == 0)
      break;
    hasher.Update(std::span(buffer).first(static_cast<size_t>(count)));
    at += count;
    if (progress && !progress(static_cast<uint64_t>(count)))
      return Fail(Errc::kCancelled, "cancelled");
  }
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return hasher.Finish();
}

}  // namespace wherry::store
