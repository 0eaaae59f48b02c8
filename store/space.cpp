#include "store/space.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "store/layer_xattr.h"

namespace wherry::store {

namespace {

struct BadFileSystem {
  uint32_t magic;
  std::string_view name;
};

// clang-format off
constexpr BadFileSystem kBadFileSystems[] = {
    {OVERLAYFS_SUPER_MAGIC, "overlayfs (a container's own root?)"},
    {NFS_SUPER_MAGIC,       "NFS"},
    {0x4d44,                "FAT"},
    {0x2011bab0,            "exFAT"},
    {0x5346544e,            "NTFS"},
    {0x7366746e,            "NTFS"},
    {0xff534d42,            "CIFS"},
    {0xfe534d42,            "SMB"},
    {0x01021997,            "9p"},
    {0x65735546,            "FUSE"},
    {0xf15f,                "eCryptfs"},
    {0x9660,                "ISO 9660"},
    {0x73717368,            "squashfs"},
};
// clang-format on

}  // namespace

Result<> CheckFreeSpace(int fd, uint64_t needed_bytes, uint64_t reserve_bytes) {
  struct statvfs info;
  if (fstatvfs(fd, &info) != 0) {
    return FailSys("statvfs");
  }
  uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  if (free_bytes < reserve_bytes || free_bytes - reserve_bytes < needed_bytes) {
    return Fail(Errc::kNoSpace,
                Cat("not enough space: ", FormatSize(needed_bytes), " are needed and ",
                    FormatSize(reserve_bytes), " kept in reserve, but ", FormatSize(free_bytes),
                    " are free; remove images ('wherry rmi') or other files"));
  }
  return {};
}

Result<> CheckBacking(int dir, const std::string& path) {
  struct statfs info;
  if (fstatfs(dir, &info) != 0) {
    return FailSys("statfs", path);
  }
  for (const BadFileSystem& bad : kBadFileSystems) {
    if (static_cast<uint32_t>(info.f_type) == bad.magic) {
      return Fail(Errc::kUnsupported,
                  Cat(path, " is on ", bad.name, ", which cannot hold container layers",
                      kFileSystemRemedy));
    }
  }
  constexpr unsigned long kCaseFold = 0x40000000;  // FS_CASEFOLD_FL
  unsigned long flags = 0;
  if (ioctl(dir, static_cast<int>(FS_IOC_GETFLAGS), &flags) == 0 && (flags & kCaseFold) != 0) {
    return Fail(
        Errc::kUnsupported,
        Cat(path, " is case-insensitive (casefold), which overlayfs refuses", kFileSystemRemedy));
  }
  return {};
}

Result<> ProbeBacking(int dir, const std::string& path) {
  constexpr const char* kProbe = "probe";
  TRY_CTX(path, RemoveTreeAt(dir, kProbe));
  ScopeExit cleanup([&] { (void)RemoveTreeAt(dir, kProbe); });
  if (mkdirat(dir, kProbe, 0700) != 0) {
    return FailSys("mkdir", path);
  }
  UniqueFd probe = TRY_CTX(path, OpenAt(dir, kProbe, O_RDONLY | O_DIRECTORY));
  auto opaque = MakeOpaque(probe.get());
  bool whiteout = mknodat(probe.get(), "w", S_IFCHR, makedev(0, 0)) == 0;
  int reason = opaque ? errno : opaque.error().error_number();
  if (opaque && whiteout) {
    return {};
  }
  if (reason == EPERM || reason == EACCES) {
    return Fail(Errc::kDenied, Cat("the store in ", path,
                                   " needs device nodes and trusted "
                                   "attributes, which were refused: run the daemon as root, "
                                   "outside of user namespaces"));
  }
  return Fail(Errc::kUnsupported,
              Cat("the file system of ", path, " has no trusted.* attributes or no device nodes",
                  kFileSystemRemedy));
}

}  // namespace wherry::store
