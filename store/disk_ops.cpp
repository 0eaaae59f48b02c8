#include "store/disk_ops.h"

#include <fcntl.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/base/file.h"
#include "core/base/libc.h"

namespace wherry::store {

Result<UniqueFd> DiskOps::Create(int dir, const std::string& name, uint32_t mode) {
  return OpenAt(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
}

Result<> DiskOps::Write(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t count = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return FailSys("write");
    }
    auto written = static_cast<size_t>(std::max<ssize_t>(count, 0));
    bytes = bytes.subspan(written);
    offset += written;
  }
  return {};
}

Result<> DiskOps::MakeDir(int dir, const std::string& name) {
  if (mkdirat(dir, name.c_str(), 0700) != 0 && errno != EEXIST) {
    return FailSys("mkdir", name);
  }
  return {};
}

Result<> DiskOps::Rename(int from_dir, const std::string& from, int to_dir, const std::string& to) {
  if (renameat(from_dir, from.c_str(), to_dir, to.c_str()) != 0) {
    return FailSys("rename", to);
  }
  return {};
}

Result<> DiskOps::Link(int from_dir, const std::string& from, int to_dir, const std::string& to) {
  if (linkat(from_dir, from.c_str(), to_dir, to.c_str(), 0) != 0) {
    return FailSys("link", to);
  }
  return {};
}

Result<> DiskOps::Seal(int dir, const std::string& name) {
  UniqueFd file = TRY(OpenAt(dir, name, O_RDONLY | O_NOFOLLOW));
  struct statvfs info;
  if (fstatvfs(file.get(), &info) != 0)
    return FailSys("statvfs", name);
  fsverity_enable_arg how{};
  how.version = 1;
  how.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
  how.block_size = static_cast<uint32_t>(std::min<uint64_t>(info.f_bsize, 4096));
  if (ioctl(file.get(), static_cast<int>(FS_IOC_ENABLE_VERITY), &how) == 0)
    return {};
  // What is left of an interrupted pull is still open.
  return errno == EEXIST || errno == ETXTBSY ? Result<>() : FailSys("FS_IOC_ENABLE_VERITY");
}

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

Result<> DiskOps::RemoveTree(int dir, const std::string& name) {
  return RemoveTreeAt(dir, name);
}

DiskOps& DiskOps::Real() {
  static DiskOps ops;
  return ops;
}

}  // namespace wherry::store
