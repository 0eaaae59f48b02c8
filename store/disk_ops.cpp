#include "store/disk_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/base/file.h"
#include "core/base/libc.h"

namespace wherry::store {

Result<> DiskOps::SyncFileSystem(int fd) {
  if (syncfs(fd) != 0) {
    return FailSys("syncfs");
  }
  return {};
}

Result<> DiskOps::SyncDirectory(int dir, std::string_view name) {
  if (fsync(dir) != 0) {
    return FailSys("fsync", name);
  }
  return {};
}

Result<bool> DiskOps::RenameNew(int from_dir, const std::string& from, int to_dir,
                                const std::string& to) {
  if (renameat2(from_dir, from.c_str(), to_dir, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno == EINVAL || errno == ENOSYS) {
    // The file system does not know the flag. Callers hold the store's write lock: nobody else
    // creates the name.
    struct stat info;
    if (fstatat(to_dir, to.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      return false;
    }
    if (renameat(from_dir, from.c_str(), to_dir, to.c_str()) == 0) {
      return true;
    }
  }
  if (errno == EEXIST || errno == ENOTEMPTY) {
    return false;
  }
  return FailSys("rename", to);
}

Result<> DiskOps::ReplaceFile(int dir, const std::string& name, std::string_view content) {
  return ReplaceFileAt(dir, name, content, 0600, Durability::kPersistent);
}

Result<> DiskOps::RemoveFile(int dir, const std::string& name) {
  if (unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT) {
    return FailSys("unlink", name);
  }
  return {};
}

DiskOps& DiskOps::Real() {
  static DiskOps ops;
  return ops;
}

}  // namespace wherry::store
