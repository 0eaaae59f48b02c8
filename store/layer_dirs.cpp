#include "store/layer_dirs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <climits>
#include <deque>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"

namespace wherry::store {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
constexpr int kMaxLinks = 40;
constexpr size_t kMaxTrail = 256;  // descriptors held during a walk
constexpr const char* kOpaqueXattr = "trusted.overlay.opaque";

std::unexpected<Error> BadParent(std::string_view name, std::string_view why) {
  return Fail(Errc::kInvalid, Cat("its directory cannot be used: ", name, " ", why));
}

Result<UniqueFd> MakeDir(int dir, const std::string& name, TarTime mtime, bool whiteout) {
  struct stat before;
  if (fstat(dir, &before) != 0) {
    return FailSys("fstat", name);
  }
  if (whiteout && unlinkat(dir, name.c_str(), 0) != 0) {
    return FailSys("unlink", name);
  }
  if (mkdirat(dir, name.c_str(), 0755) != 0) {
    return FailSys("mkdir", name);
  }
  UniqueFd made = TRY(OpenAt(dir, name, kDirFlags | O_NOFOLLOW));
  if (whiteout) {
    TRY(MakeOpaque(made.get()));
  }
  timespec times[2] = {ToTimespec(mtime), ToTimespec(mtime)};
  timespec parent_times[2] = {{0, UTIME_OMIT}, before.st_mtim};
  if (fchown(made.get(), 0, 0) != 0 || fchmod(made.get(), 0755) != 0 ||
      futimens(made.get(), times) != 0 || futimens(dir, parent_times) != 0) {
    return FailSys("mkdir", name);
  }
  return made;
}

Result<std::string> ReadLink(int dir, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  ssize_t length = readlinkat(dir, name.c_str(), target.data(), target.size());
  if (length < 0) {
    return FailSys("readlink", name);
  }
  target.resize(static_cast<size_t>(length));
  return target;
}

void PushFront(std::deque<std::string>& ahead, std::string_view path) {
  auto parts = Split(path, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->empty() && *part != ".") {
      ahead.emplace_front(*part);
    }
  }
}

// `name` is no symbolic link.
Result<UniqueFd> OpenOrMakeOne(int dir, const std::string& name, TarTime mtime) {
  auto fd = OpenAt(dir, name, kDirFlags | O_NOFOLLOW);
  if (fd) {
    return fd;
  }
  struct stat info;
  bool exists = fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) {
    return FailSys("stat", name);
  }
  bool whiteout = exists && S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
  if (exists && !whiteout) {
    return BadParent(name, "is no directory");
  }
  return MakeDir(dir, name, mtime, whiteout);
}

// Component by component, which openat2 cannot do when directories have to be made on the way.
Result<UniqueFd> Walk(int root, const std::string& path, TarTime mtime) {
  std::vector<UniqueFd> trail;  // from below the root to where the walk is; ".." goes back in it
  std::deque<std::string> ahead;
  PushFront(ahead, path);
  int links = 0;
  while (!ahead.empty()) {
    std::string name = std::move(ahead.front());
    ahead.pop_front();
    if (name == "..") {
      if (!trail.empty()) {
        trail.pop_back();
      }
      continue;
    }
    int here = trail.empty() ? root : trail.back().get();
    struct stat info;
    if (fstatat(here, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode)) {
      if (++links > kMaxLinks) {
        return BadParent(path, "leads through too many symbolic links");
      }
      std::string target = TRY(ReadLink(here, name));
      if (target.starts_with('/')) {
        trail.clear();
      }
      PushFront(ahead, target);
      continue;
    }
    if (trail.size() >= kMaxTrail) {
      return BadParent(path, "is too deep");
    }
    trail.push_back(TRY(OpenOrMakeOne(here, name, mtime)));
  }
  if (trail.empty()) {
    return OpenAt(root, ".", kDirFlags);
  }
  return std::move(trail.back());
}

}  // namespace

timespec ToTimespec(TarTime time) {
  return {static_cast<time_t>(time.seconds), static_cast<long>(time.nanos)};
}

Result<> MakeOpaque(int dir) {
  if (fsetxattr(dir, kOpaqueXattr, "y", 1, 0) != 0) {
    return FailSys("setxattr", kOpaqueXattr);
  }
  return {};
}

bool IsOpaque(int dir) {
  char value = 0;
  return fgetxattr(dir, kOpaqueXattr, &value, 1) == 1 && value == 'y';
}

Result<UniqueFd> OpenOrMakeDir(int root, const std::string& path, TarTime mtime) {
  auto found = sys::OpenInRoot(root, path.empty() ? "." : path, kDirFlags);
  if (found) {
    return found;
  }
  int reason = found.error().error_number();
  // ENOTDIR may be a whiteout, which gives way.
  if (reason == ENOENT || reason == ENOTDIR || reason == ELOOP) {
    return Walk(root, path, mtime);
  }
  return found;
}

}  // namespace wherry::store
