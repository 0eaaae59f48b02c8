#include "core/sys/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <optional>
#include <vector>

#include "core/base/text.h"

namespace wherry::sys {

namespace {

constexpr long kProcMagic = 0x9fa0;
constexpr int kMaxLinks = 40;

bool g_no_openat2 = false;

// -1 with errno; EAGAIN (a rename raced with "..") is retried.
int OpenAt2(int dir, const char* path, int flags, uint64_t resolve) {
  if (g_no_openat2) {
    errno = ENOSYS;
    return -1;
  }
  struct open_how how{};
  how.flags = static_cast<uint64_t>(static_cast<unsigned int>(flags | O_CLOEXEC));
  how.resolve = resolve;
  int fd = -1;
  for (int attempt = 0; attempt < 128; ++attempt) {
    fd = static_cast<int>(syscall(SYS_openat2, dir, path, &how, sizeof(how)));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
      break;
  }
  return fd;
}

// openat2 missing or hidden by a seccomp filter. EPERM can be a real answer too; the walk then
// gives it again. EAGAIN can stay for ever: where ".." is looked up in overlayfs, the look-up
// itself may count as a rename.
bool NeedsWalk(int error_number) {
  return error_number == ENOSYS || error_number == EPERM || error_number == EAGAIN;
}

std::unexpected<Error> PathFailure(int error_number, const std::string& path) {
  return std::unexpected(Error::Sys(error_number, "open", path));
}

struct WalkOptions {
  bool follow_links = true;
  bool cross_mounts = true;
  std::optional<CreateAs> create;
  uint32_t mode = 0755;
};

// Resolution component by component with O_NOFOLLOW, every directory held by a descriptor: ".."
// goes back to the descriptor it came from, so no rename can lead outside.
class Walker {
 public:
  Walker(int root, const std::string& path, const WalkOptions& options)
      : path_(path), options_(options), root_(root) {
    Push(path);
  }

  // An O_PATH descriptor of the end; `name` and `parent` say where it was found.
  Result<UniqueFd> Run() {
    TRY(CheckRoot());
    UniqueFd last;
    while (!todo_.empty()) {
      std::string name = std::move(todo_.front());
      todo_.pop_front();
      if (name == "..") {
        if (!stack_.empty())
          stack_.pop_back();
        last.Reset();
        continue;
      }
      UniqueFd next = TRY(Step(name));
      if (!next)
        continue;  // a link was expanded
      last = TRY(Enter(std::move(next)));
      name_ = std::move(name);
    }
    if (last)
      return last;
    name_.clear();
    return Duplicate(Current());
  }

  int Parent() const { return Current(); }
  const std::string& name() const { return name_; }  // empty: the directory Parent() itself

 private:
  int Current() const { return stack_.empty() ? root_ : stack_.back().get(); }

  Result<> CheckRoot() {
    struct stat status{};
    if (fstat(root_, &status) < 0)
      return FailSys("fstat", path_);
    device_ = status.st_dev;
    return {};
  }

  Result<UniqueFd> Duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
      return FailSys("fcntl", path_);
    return UniqueFd(copy);
  }

  void Push(std::string_view text) {
    std::vector<std::string_view> parts = Split(text, '/');
    for (auto it = parts.rbegin(); it != parts.rend(); ++it) {
      if (!it->empty() && *it != ".")
        todo_.emplace_front(*it);
    }
  }

  // Opens one component of the current directory; an empty descriptor when it was a link.
  Result<UniqueFd> Step(const std::string& name) {
    int fd = openat(Current(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && options_.create) {
      TRY(Create(name));
      fd = openat(Current(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0)
      return PathFailure(errno, path_);
    UniqueFd next(fd);
    struct stat status{};
    if (fstat(fd, &status) < 0)
      return FailSys("fstat", path_);
    if (!options_.cross_mounts && status.st_dev != device_)
      return PathFailure(EXDEV, path_);
    if (!S_ISLNK(status.st_mode))
      return next;
    TRY(Expand(fd));
    return UniqueFd();
  }

  Result<> Create(const std::string& name) {
    bool file = todo_.empty() && options_.create == CreateAs::kFile;
    int rc = file ? mknodat(Current(), name.c_str(), S_IFREG | (options_.mode & ~0111U), 0)
                  : mkdirat(Current(), name.c_str(), options_.mode);
    if (rc < 0 && errno != EEXIST)
      return FailSys(file ? "mknod" : "mkdir", path_);
    return {};
  }

  Result<> Expand(int link_fd) {
    if (!options_.follow_links || ++links_ > kMaxLinks)
      return PathFailure(ELOOP, path_);
    std::array<char, 4096> target;
    ssize_t n = readlinkat(link_fd, "", target.data(), target.size());
    if (n < 0)
      return FailSys("readlink", path_);
    if (n == static_cast<ssize_t>(target.size()))
      return PathFailure(ENAMETOOLONG, path_);
    std::string_view text(target.data(), static_cast<size_t>(n));
    if (text.starts_with('/')) {
      struct statfs fs{};
      // The magic links of procfs (exe, root, fd/N) read as absolute names; its ordinary ones are
      // relative.
      if (fstatfs(link_fd, &fs) == 0 && fs.f_type == kProcMagic)
        return PathFailure(ELOOP, path_);
      stack_.clear();
    }
    Push(text);
    return {};
  }

  // Goes down into `next` when more is to come; hands it back when it is the end.
  Result<UniqueFd> Enter(UniqueFd next) {
    if (todo_.empty())
      return next;
    struct stat status{};
    if (fstat(next.get(), &status) < 0)
      return FailSys("fstat", path_);
    if (!S_ISDIR(status.st_mode))
      return PathFailure(ENOTDIR, path_);
    stack_.push_back(std::move(next));
    return UniqueFd();
  }

  const std::string& path_;
  WalkOptions options_;
  int root_;
  dev_t device_ = 0;
  std::vector<UniqueFd> stack_;
  std::deque<std::string> todo_;
  std::string name_;
  int links_ = 0;
};

Result<UniqueFd> Walk(int root, const std::string& path, int flags, const WalkOptions& options) {
  Walker walker(root, path, options);
  UniqueFd found = TRY(walker.Run());
  bool only_path = (flags & ~(O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY)) == O_PATH;
  struct stat status{};
  if (fstat(found.get(), &status) < 0)
    return FailSys("fstat", path);
  if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(status.st_mode))
    return PathFailure(ENOTDIR, path);
  if (only_path)
    return found;
  const char* name = walker.name().empty() ? "." : walker.name().c_str();
  UniqueFd opened(openat(walker.Parent(), name, flags | O_NOFOLLOW | O_CLOEXEC));
  if (!opened)
    return PathFailure(errno, path);
  struct stat again{};
  if (fstat(opened.get(), &again) < 0)
    return FailSys("fstat", path);
  if (again.st_dev != status.st_dev || again.st_ino != status.st_ino)
    return PathFailure(EAGAIN, path);
  return opened;
}

}  // namespace

void PretendNoOpenat2(bool missing) {
  g_no_openat2 = missing;
}

Result<UniqueFd> OpenInRoot(int root, const std::string& path, int flags) {
  int fd = OpenAt2(root, path.c_str(), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd >= 0)
    return UniqueFd(fd);
  if (!NeedsWalk(errno))
    return PathFailure(errno, path);
  return Walk(root, path, flags, {});
}

Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags) {
  int fd = OpenAt2(root, path.c_str(), flags,
                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  if (fd >= 0)
    return UniqueFd(fd);
  if (!NeedsWalk(errno))
    return PathFailure(errno, path);
  if (path.starts_with('/'))
    return PathFailure(EXDEV, path);
  WalkOptions options;
  options.follow_links = false;
  options.cross_mounts = false;
  return Walk(root, path, flags, options);
}

Result<UniqueFd> OpenOrCreateInRoot(int root, const std::string& path, CreateAs kind,
                                    uint32_t mode) {
  Result<UniqueFd> found = OpenInRoot(root, path, O_PATH);
  if (found || found.error().error_number() != ENOENT)
    return found;
  WalkOptions options;
  options.create = kind;
  options.mode = mode;
  return Walk(root, path, O_PATH, options);
}

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part == "..") {
      if (!kept.empty())
        kept.pop_back();
    } else {
      kept.push_back(part);
    }
  }
  std::string clean;
  for (std::string_view part : kept)
    Append(clean, "/", part);
  return clean.empty() ? "/" : clean;
}

}  // namespace wherry::sys
