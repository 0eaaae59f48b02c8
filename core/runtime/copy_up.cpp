#include "core/runtime/copy_up.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::runtime {

namespace {

constexpr int kMaxDepth = 256;
constexpr size_t kMaxAttribute = 64 << 10;  // the kernel's bound for names and for a value
constexpr size_t kPiece = 1 << 20;

// Attributes a file system does not take are no reason to have no content.
Result<> CopyAttributes(int from, int to, const std::string& name) {
  std::string names(kMaxAttribute, '\0');
  ssize_t size = flistxattr(from, names.data(), names.size());
  if (size < 0)
    return errno == ENOTSUP ? Result<>() : FailSys("flistxattr", name);
  names.resize(static_cast<size_t>(size));
  std::string value(kMaxAttribute, '\0');
  for (std::string_view attribute : Split(names, '\0')) {
    if (attribute.empty() || attribute.starts_with("trusted.overlay."))
      continue;
    std::string key(attribute);
    ssize_t length = fgetxattr(from, key.c_str(), value.data(), value.size());
    if (length < 0)
      return FailSys("fgetxattr", Cat(name, " ", key));
    if (fsetxattr(to, key.c_str(), value.data(), static_cast<size_t>(length), 0) < 0 &&
        errno != ENOTSUP)
      return FailSys("fsetxattr", Cat(name, " ", key));
  }
  return {};
}

// The owner first: changing it takes away set-id bits and capabilities.
Result<> CopyMetadata(int from, int to, const struct stat& info, const std::string& name) {
  if (fchown(to, info.st_uid, info.st_gid) < 0)
    return FailSys("fchown", name);
  if (fchmod(to, info.st_mode & 07777) < 0)
    return FailSys("fchmod", name);
  TRY(CopyAttributes(from, to, name));
  const struct timespec times[] = {info.st_atim, info.st_mtim};
  if (futimens(to, times) < 0)
    return FailSys("futimens", name);
  return {};
}

Result<> CopyContent(int from, int to, const std::string& name) {
  for (;;) {
    ssize_t count = sendfile(to, from, nullptr, kPiece);
    if (count == 0)
      return {};
    if (count < 0 && errno != EINTR)
      return FailSys("sendfile", name);
  }
}

Result<> CopyFile(int from_dir, int to_dir, const std::string& name, const struct stat& info) {
  UniqueFd from = TRY(OpenAt(from_dir, name, O_RDONLY | O_NOFOLLOW));
  UniqueFd to = TRY(OpenAt(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(CopyContent(from.get(), to.get(), name));
  return CopyMetadata(from.get(), to.get(), info, name);
}

Result<> CopyLink(int from_dir, int to_dir, const std::string& name, const struct stat& info) {
  std::array<char, 4096> target;
  ssize_t size = readlinkat(from_dir, name.c_str(), target.data(), target.size() - 1);
  if (size < 0)
    return FailSys("readlinkat", name);
  target[static_cast<size_t>(size)] = '\0';
  if (symlinkat(target.data(), to_dir, name.c_str()) < 0)
    return FailSys("symlinkat", name);
  if (fchownat(to_dir, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    return FailSys("fchownat", name);
  return {};
}

Result<> CopyNode(int to_dir, const std::string& name, const struct stat& info) {
  if (mknodat(to_dir, name.c_str(), info.st_mode, info.st_rdev) < 0)
    return FailSys("mknodat", name);
  if (fchownat(to_dir, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    return FailSys("fchownat", name);
  if (fchmodat(to_dir, name.c_str(), info.st_mode & 07777, 0) < 0)
    return FailSys("fchmodat", name);
  return {};
}

class Copier {
 public:
  explicit Copier(int top) : top_(top) {}

  // `path` is that of `to` below the top, empty or with a slash at its end.
  Result<> Directory(int from, int to, const std::string& path, int depth) {
    if (depth > kMaxDepth)
      return Fail(Errc::kInvalid, Cat("directories are nested more than ", kMaxDepth, " deep"));
    for (const std::string& name : TRY(ListDirFd(from)))
      TRY_CTX(name, Entry(from, to, path, name, depth));
    struct stat info{};
    if (fstat(from, &info) < 0)
      return FailSys("fstat");
    return CopyMetadata(from, to, info, "directory");
  }

 private:
  Result<> Entry(int from, int to, const std::string& path, const std::string& name, int depth) {
    struct stat info{};
    if (fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
      return FailSys("fstatat", name);
    switch (info.st_mode & S_IFMT) {
      case S_IFREG:
        return File(from, to, path, name, info);
      case S_IFLNK:
        return CopyLink(from, to, name, info);
      case S_IFSOCK:
        return {};
      case S_IFDIR:
        break;
      default:
        return CopyNode(to, name, info);
    }
    if (mkdirat(to, name.c_str(), 0700) < 0)
      return FailSys("mkdirat", name);
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    UniqueFd from_child = TRY(OpenAt(from, name, kFlags));
    UniqueFd to_child = TRY(OpenAt(to, name, kFlags));
    return Directory(from_child.get(), to_child.get(), Cat(path, name, "/"), depth + 1);
  }

  // Names of one file stay that. Every component of a path below the top was made here.
  Result<> File(int from, int to, const std::string& path, const std::string& name,
                const struct stat& info) {
    if (info.st_nlink < 2)
      return CopyFile(from, to, name, info);
    auto [first, fresh] = copied_.try_emplace({info.st_dev, info.st_ino}, Cat(path, name));
    if (fresh)
      return CopyFile(from, to, name, info);
    if (linkat(top_, first->second.c_str(), to, name.c_str(), 0) < 0)
      return FailSys("linkat", name);
    return {};
  }

  int top_;
  std::map<std::pair<dev_t, ino_t>, std::string> copied_;  // files with several names, by the first
};

}  // namespace

Result<> CopyUp(int from, int to) {
  TRY(Copier(to).Directory(from, to, "", 0));
  if (syncfs(to) < 0)
    return FailSys("syncfs");
  return {};
}

}  // namespace wherry::runtime
