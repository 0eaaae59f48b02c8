#include "engine/builder/tree_copy.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_path.h"
#include "store/layer_xattr.h"

namespace wherry::engine {

namespace {

constexpr int kMaxDepth = store::kMaxPathDepth;
constexpr size_t kPiece = size_t{1} << 20;
constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
constexpr int kFileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

Result<struct stat> Look(int directory, const std::string& name) {
  struct stat info{};
  if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return FailSys("fstatat", store::QuoteName(name));
  return info;
}

Result<std::string> ReadLink(int directory, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  ssize_t size = readlinkat(directory, name.c_str(), target.data(), target.size());
  if (size < 0)
    return FailSys("readlinkat", store::QuoteName(name));
  target.resize(static_cast<size_t>(size));
  return target;
}

// Data only: holes stay.
Result<> CopyContent(int from, int to, off_t size) {
  for (off_t at = 0; at < size;) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      break;
    off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
    if (hole < 0) {  // a file system without either
      data = at;
      hole = size;
    }
    if (lseek(to, data, SEEK_SET) < 0)
      return FailSys("lseek");
    for (at = data; at < hole;) {
      ssize_t count = sendfile(to, from, &at, std::min(kPiece, static_cast<size_t>(hole - at)));
      if (count < 0 && errno != EINTR)
        return FailSys("sendfile");
      if (count == 0)
        return Fail(Errc::kConflict, "it was changed while it was copied");
    }
  }
  return ftruncate(to, size) == 0 ? Result<>() : FailSys("ftruncate");
}

// A directory stays for a directory.
Result<> MakeRoom(int directory, const std::string& name, bool for_directory) {
  struct stat info{};
  if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? Result<>() : FailSys("fstatat", store::QuoteName(name));
  if (for_directory && S_ISDIR(info.st_mode))
    return {};
  return RemoveTreeAt(directory, name);
}

}  // namespace

Result<> TreeCopy::Metadata(int from, int to) const {
  struct stat info{};
  if (fstat(from, &info) != 0)
    return FailSys("fstat");
  auto [uid, gid] = metadata_.owner.value_or(std::pair{info.st_uid, info.st_gid});
  if (fchown(to, uid, gid) != 0)
    return FailSys("fchown");
  if (fchmod(to, metadata_.mode.value_or(info.st_mode & 07777)) != 0)
    return FailSys("fchmod");
  auto xattrs = TRY(store::ReadXattrs(from));
  TRY(store::SetXattrs(to, xattrs));
  const struct timespec times[] = {info.st_mtim, info.st_mtim};
  return futimens(to, times) == 0 ? Result<>() : FailSys("futimens");
}

Result<> TreeCopy::File(int from, int to_dir, const std::string& to_name) {
  struct stat info{};
  if (fstat(from, &info) != 0)
    return FailSys("fstat");
  TRY(MakeRoom(to_dir, to_name, false));
  UniqueFd to = TRY(OpenAt(to_dir, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  TRY(CopyContent(from, to.get(), info.st_size));
  return Metadata(from, to.get());
}

Result<> TreeCopy::Children(int from, int to, const std::string& path) {
  if (depth_ == kMaxDepth)
    return Fail(Errc::kInvalid, Cat("directories are nested more than ", kMaxDepth, " deep"));
  ++depth_;
  for (const std::string& name : TRY(ListDirFd(from)))
    TRY_CTX(store::QuoteName(name), Entry(from, to, path, name));
  --depth_;
  return {};
}

Result<> TreeCopy::Entry(int from, int to, const std::string& path, const std::string& name) {
  struct stat info = TRY(Look(from, name));
  if (S_ISDIR(info.st_mode))
    return Directory(from, to, path, name);
  if (S_ISSOCK(info.st_mode))
    return {};
  if (!S_ISREG(info.st_mode))
    return Node(from, to, name);
  if (info.st_nlink > 1) {
    std::string own = path.empty() ? name : Cat(path, "/", name);
    auto [first, fresh] = links_.try_emplace({info.st_dev, info.st_ino}, own);
    if (!fresh) {
      TRY(MakeRoom(to, name, false));
      if (linkat(top_, first->second.c_str(), to, name.c_str(), 0) != 0)
        return FailSys("linkat");
      return {};
    }
  }
  UniqueFd file = TRY(OpenAt(from, name, kFileFlags));
  return File(file.get(), to, name);
}

Result<> TreeCopy::Directory(int from, int to, const std::string& path, const std::string& name) {
  TRY(MakeRoom(to, name, true));
  if (mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST)
    return FailSys("mkdirat");
  UniqueFd from_child = TRY(OpenAt(from, name, kDirFlags));
  UniqueFd to_child = TRY(OpenAt(to, name, kDirFlags));
  TRY(Children(from_child.get(), to_child.get(), path.empty() ? name : Cat(path, "/", name)));
  return Metadata(from_child.get(), to_child.get());
}

// Symbolic links, devices, pipes.
Result<> TreeCopy::Node(int from, int to, const std::string& name) {
  struct stat info = TRY(Look(from, name));
  TRY(MakeRoom(to, name, false));
  bool link = S_ISLNK(info.st_mode);
  if (link) {
    std::string target = TRY(ReadLink(from, name));
    if (symlinkat(target.c_str(), to, name.c_str()) != 0)
      return FailSys("symlinkat");
  } else if (mknodat(to, name.c_str(), info.st_mode, info.st_rdev) != 0) {
    return FailSys("mknodat");
  }
  auto [uid, gid] = metadata_.owner.value_or(std::pair{info.st_uid, info.st_gid});
  if (fchownat(to, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    return FailSys("fchownat");
  if (!link && fchmodat(to, name.c_str(), metadata_.mode.value_or(info.st_mode & 07777), 0) != 0)
    return FailSys("fchmodat");
  const struct timespec times[] = {info.st_mtim, info.st_mtim};
  if (utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return FailSys("utimensat");
  return {};
}

std::string TreeHash::Metadata(const struct stat& info) const {
  std::string text = Cat(info.st_mode);
  if (owners_ == OwnersCount::kYes)
    Append(text, " ", info.st_uid, " ", info.st_gid);
  return text += '\n';
}

Result<> TreeHash::File(int file) {
  struct stat info{};
  if (fstat(file, &info) != 0)
    return FailSys("fstat");
  hasher_.Update(Cat(Metadata(info), info.st_size, "\n"));
  std::vector<std::byte> piece(size_t{64} << 10);
  for (off_t at = 0;;) {
    ssize_t count = pread(file, piece.data(), piece.size(), at);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return FailSys("pread");
    if (count == 0)
      return {};
    hasher_.Update(std::span(piece).first(static_cast<size_t>(count)));
    at += count;
  }
}

Result<> TreeHash::Directory(int directory) {
  if (depth_ == kMaxDepth)
    return Fail(Errc::kInvalid, Cat("directories are nested more than ", kMaxDepth, " deep"));
  ++depth_;
  auto names = TRY(ListDirFd(directory));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    TRY_CTX(store::QuoteName(name), Entry(directory, name));
  hasher_.Update("end\n");
  --depth_;
  return {};
}

Result<> TreeHash::Entry(int directory, const std::string& name) {
  struct stat info = TRY(Look(directory, name));
  hasher_.Update(Cat(name.size(), " ", name, "\n"));
  if (S_ISDIR(info.st_mode)) {
    UniqueFd child = TRY(OpenAt(directory, name, kDirFlags));
    hasher_.Update(Metadata(info));
    return Directory(child.get());
  }
  if (S_ISREG(info.st_mode)) {
    UniqueFd file = TRY(OpenAt(directory, name, kFileFlags));
    return File(file.get());
  }
  std::string target = S_ISLNK(info.st_mode) ? TRY(ReadLink(directory, name)) : std::string();
  hasher_.Update(Cat(Metadata(info), info.st_rdev, " ", target.size(), " ", target));
  return {};
}

}  // namespace wherry::engine
