#include "core/sys/mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount_calls.h"
#include "core/sys/remount.h"

namespace wherry::sys {

namespace {

bool g_old_mount_api = false;

}  // namespace

void PretendOldMountApi(bool old) {
  g_old_mount_api = old;
}
bool OldMountApi() {
  return g_old_mount_api;
}

Result<UniqueFd> CloneTree(int dir, const std::string& path, Recursive recursive) {
  unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (path.empty())
    flags |= AT_EMPTY_PATH;
  if (recursive == Recursive::kYes)
    flags |= AT_RECURSIVE;
  int fd = open_tree(dir, path.c_str(), flags);
  if (fd < 0)
    return FailSys("open_tree", path);
  return UniqueFd(fd);
}

Result<FsContext> FsContext::Open(const std::string& type) {
  int fd = fsopen(type.c_str(), FSOPEN_CLOEXEC);
  if (fd < 0) {
    if (errno == ENODEV)
      return Fail(Errc::kUnsupported, Cat("this kernel has no file system \"", type, "\""));
    return FailSys("fsopen", type);
  }
  return FsContext(UniqueFd(fd), type);
}

// The kernel leaves its explanation in the context's log, one line per read: "e overlay: ...".
std::unexpected<Error> FsContext::Failure(std::string_view call, std::string_view object) const {
  int saved = errno;
  std::array<char, 512> line;
  std::string log;
  for (int i = 0; i < 4; ++i) {
    ssize_t n = read(fd_.get(), line.data(), line.size());
    if (n <= 2)
      break;
    std::string_view text = Trim(std::string_view(line.data() + 2, static_cast<size_t>(n) - 2));
    Append(log, log.empty() ? "" : "; ", text);
  }
  Error error = Error::Sys(saved, call, object);
  if (log.empty())
    return std::unexpected(std::move(error));
  return std::unexpected(std::move(error).FollowedBy(Error(Errc::kInvalid, log)));
}

Result<> FsContext::SetFlag(const std::string& key) {
  if (fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) < 0) {
    return Failure("fsconfig", Cat(type_, " option ", key));
  }
  return {};
}

Result<> FsContext::SetString(const std::string& key, const std::string& value) {
  if (fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) < 0) {
    return Failure("fsconfig", Cat(type_, " option ", key, "=", value));
  }
  return {};
}

Result<> FsContext::SetOption(std::string_view option) {
  if (auto pair = SplitFirst(option, '='))
    return SetString(std::string(pair->head), std::string(pair->tail));
  return SetFlag(std::string(option));
}

Result<UniqueFd> FsContext::Mount(uint64_t attributes) {
  if (fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return Failure("fsconfig", Cat(type_, " create"));
  int fd = fsmount(fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes));
  if (fd < 0)
    return Failure("fsmount", type_);
  return UniqueFd(fd);
}

Result<> AttachMount(int mount_fd, int target_fd) {
  if (move_mount(mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
      0) {
    return FailSys("move_mount");
  }
  return {};
}

bool HasMountSetattr() {
  if (g_old_mount_api)
    return false;
  static const bool known = mount_setattr(-1, "", 0, nullptr, 0) == 0 || errno != ENOSYS;
  return known;
}

Result<> SetMountAttributes(int fd, const MountAttributes& attributes, Recursive recursive,
                            int proc_fd) {
  if (attributes.empty())
    return {};
  struct mount_attr attr{};
  attr.attr_set = attributes.set;
  attr.attr_clr = attributes.clear;
  attr.propagation = attributes.propagation;
  unsigned int flags = AT_EMPTY_PATH;
  if (recursive == Recursive::kYes)
    flags |= AT_RECURSIVE;
  if (!g_old_mount_api) {
    if (mount_setattr(fd, "", flags, &attr, sizeof(attr)) == 0)
      return {};
    if (errno != ENOSYS)
      return FailSys("mount_setattr");
  }
  if (proc_fd < 0) {
    return Fail(Errc::kUnsupported, "changing a detached mount needs Linux 5.12 (mount_setattr)");
  }
  return Remount(fd, attributes, recursive, proc_fd);
}

Result<> MapMountIds(int fd, int user_namespace, Recursive recursive) {
  struct mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user_namespace);
  unsigned int flags = AT_EMPTY_PATH;
  if (recursive == Recursive::kYes)
    flags |= AT_RECURSIVE;
  int done = -1;
  errno = ENOSYS;
  if (!g_old_mount_api)
    done = mount_setattr(fd, "", flags, &attr, sizeof(attr));
  if (done == 0)
    return {};
  if (errno == ENOSYS || errno == EINVAL) {
    return Fail(Errc::kUnsupported,
                "its file system cannot map the owners of files in this kernel: that needs Linux "
                "5.12 for ext4 and vfat, 5.15 for btrfs, 5.19 for erofs and overlay, 6.3 for "
                "tmpfs");
  }
  return FailSys("mount_setattr", "map ids");
}

Result<> MakeAllPrivate() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
    return FailSys("mount", "make / private");
  return {};
}

Result<> EnterPrivateMountNamespace() {
  if (unshare(CLONE_NEWNS) != 0)
    return FailSys("unshare", "the mount namespace");
  return MakeAllPrivate();
}

Result<> DetachMount(int root_fd) {
  if (fchdir(root_fd) < 0 || umount2(".", MNT_DETACH) < 0)
    return FailSys("umount2");
  if (chdir("/") < 0)
    return FailSys("chdir", "/");
  return {};
}

Result<> PivotRoot(int root_fd) {
  if (fchdir(root_fd) < 0)
    return FailSys("fchdir", "new root");
  if (syscall(SYS_pivot_root, ".", ".") < 0)
    return FailSys("pivot_root");
  // "." is now the old root, which lies on top (pivot_root(2), "pivot_root(".", ".")").
  if (umount2(".", MNT_DETACH) < 0)
    return FailSys("umount2", "old root");
  if (chdir("/") < 0)
    return FailSys("chdir", "/");
  return {};
}

namespace {

// "\\040" for a space, as /proc/self/mountinfo has it.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    Result<uint32_t> code = Fail(Errc::kInvalid, "");
    if (text[i] == '\\' && i + 3 < text.size())
      code = ParseOctal(text.substr(i + 1, 3));
    plain += code ? static_cast<char>(*code) : text[i];
    i += code ? 3 : 0;
  }
  return plain;
}

bool IsAtOrBelow(const std::string& path, const std::string& top) {
  return top == "/" || path == top || path.starts_with(top + "/");
}

// Every mount that neither holds the tree at `kept` nor is in it.
Result<> DetachOthers(const std::string& kept) {
  constexpr size_t kMountPoint = 4;
  constexpr size_t kMost = size_t{4} << 20;
  std::string mounts = TRY(ReadFile("/proc/self/mountinfo", kMost));
  for (std::string_view line : Split(mounts, '\n')) {
    std::vector<std::string_view> fields = Split(line, ' ');
    if (fields.size() <= kMountPoint)
      continue;
    std::string path = Unescape(fields[kMountPoint]);
    if (IsAtOrBelow(kept, path) || IsAtOrBelow(path, kept))
      continue;
    // It may have gone with one above it.
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
        errno != ENOENT) {
      return FailSys("umount2", path);
    }
  }
  return {};
}

}  // namespace

Result<> MoveRoot(int root_fd) {
  std::array<char, 4096> path;
  std::string link = Cat("/proc/self/fd/", root_fd);
  ssize_t length = readlink(link.c_str(), path.data(), path.size());
  if (length < 0)
    return FailSys("readlink", "new root");
  TRY(DetachOthers(std::string(path.data(), static_cast<size_t>(length))));
  if (fchdir(root_fd) < 0)
    return FailSys("fchdir", "new root");
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) < 0)
    return FailSys("mount", "move the root");
  if (chroot(".") < 0)
    return FailSys("chroot");
  if (chdir("/") < 0)
    return FailSys("chdir", "/");
  return {};
}

}  // namespace wherry::sys
