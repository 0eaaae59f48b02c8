// RemoveTree of file.h. The tree may be hostile: any depth, any number of entries, symbolic links,
// mount points, and other processes changing it meanwhile. Memory, descriptors and stack stay
// bounded.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <memory>

#include "core/base/file.h"
#include "core/base/libc.h"
#include "core/base/text.h"

namespace wherry {

namespace {

// Deeper directories are moved up to the top of the tree before their content is removed.
constexpr int kMaxDepth = 24;
constexpr size_t kListBytes = 4096;

class TreeRemover {
 public:
  explicit TreeRemover(std::string name) : name_(std::move(name)) {}

  Result<> Run(int parent) {
    if (unlinkat(parent, name_.c_str(), 0) == 0 || errno == ENOENT) {
      return {};
    }
    if (errno != EISDIR) {
      return FailSys("unlink", name_);
    }
    UniqueFd top = TRY(Enter(parent, name_.c_str()));
    if (!top) {
      return {};
    }
    top_ = top.get();
    TRY(Empty(top_, 1));
    return RemoveEmptyDir(parent, name_.c_str());
  }

 private:
  // Empty descriptor: the directory is gone. Never follows a link nor crosses into another mount.
  Result<UniqueFd> Enter(int parent, const char* name) {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    auto fd = static_cast<int>(syscall(SYS_openat2, parent, name, &how, sizeof(how)));
    if (fd < 0 && errno == ENOSYS) {
      return EnterWithoutOpenat2(parent, name);
    }
    if (fd < 0 && errno == EXDEV) {
      return MountPoint(name);
    }
    if (fd < 0 && errno != ENOENT) {
      return FailSys("open", Describe(name));
    }
    return UniqueFd(fd);
  }

  // Kernels before 5.6 and filtered processes: only mounts of other file systems can be told.
  Result<UniqueFd> EnterWithoutOpenat2(int parent, const char* name) {
    UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      return errno == ENOENT ? Result<UniqueFd>() : FailSys("open", Describe(name));
    }
    struct stat outer;
    struct stat inner;
    if (fstatat(parent, "", &outer, AT_EMPTY_PATH) != 0 || fstat(fd.get(), &inner) != 0) {
      return FailSys("stat", Describe(name));
    }
    if (outer.st_dev != inner.st_dev) {
      return MountPoint(name);
    }
    return fd;
  }

  std::unexpected<Error> MountPoint(const char* name) const {
    return Fail(Errc::kBusy, Cat("cannot remove ", Describe(name),
                                 ": something is mounted there; unmount it first"));
  }

  Result<> RemoveEmptyDir(int parent, const char* name) {
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return FailSys("rmdir", Describe(name));
    }
    return {};
  }

  // Passes over the directory until one finds nothing: entries may be missed while others vanish.
  Result<> Empty(int dir, int depth) {
    auto buffer = std::make_unique<char[]>(kListBytes);
    for (bool found = true; found;) {
      found = false;
      if (lseek(dir, 0, SEEK_SET) != 0) {
        return FailSys("lseek", name_);
      }
      for (;;) {
        ssize_t count = getdents64(dir, buffer.get(), kListBytes);
        if (count < 0) {
          return FailSys("getdents", name_);
        }
        if (count == 0) {
          break;
        }
        found |= TRY(RemoveListed(dir, depth, {buffer.get(), static_cast<size_t>(count)}));
      }
    }
    return {};
  }

  Result<bool> RemoveListed(int dir, int depth, std::string_view list) {
    bool found = false;
    while (!list.empty()) {
      auto* entry = reinterpret_cast<const dirent64*>(list.data());
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        TRY(RemoveEntry(dir, depth, entry->d_name, entry->d_type));
        found = true;
      }
      list.remove_prefix(entry->d_reclen);
    }
    return found;
  }

  Result<> RemoveEntry(int dir, int depth, const char* name, unsigned char type) {
    if (type != DT_DIR) {
      if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) {
        return {};
      }
      if (errno != EISDIR) {
        return FailSys("unlink", Describe(name));
      }
    }
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
      return {};
    }
    if (depth >= kMaxDepth) {
      return MoveUp(dir, name);
    }
    UniqueFd child = TRY(Enter(dir, name));
    if (!child) {
      return {};
    }
    TRY(Empty(child.get(), depth + 1));
    return RemoveEmptyDir(dir, name);
  }

  // The next pass over the top directory finds it there.
  Result<> MoveUp(int dir, const char* name) {
    for (;;) {
      std::string target = Cat(".removed-", next_name_++);
      if (renameat2(dir, name, top_, target.c_str(), RENAME_NOREPLACE) == 0 || errno == ENOENT) {
        return {};
      }
      if (errno != EEXIST) {
        return FailSys("rename", Describe(name));
      }
    }
  }

  std::string Describe(const char* name) const {
    return name == name_ ? name_ : Cat(name_, "/.../", name);
  }

  std::string name_;
  int top_ = -1;
  uint64_t next_name_ = 0;
};

}  // namespace

Result<> RemoveTreeAt(int dir, const std::string& name) {
  return TreeRemover(name).Run(dir);
}

Result<> RemoveTree(const std::string& path) {
  // The way to the tree may cross mounts and symbolic links; only below it none are followed.
  PathParts parts = SplitPath(path);
  Result<UniqueFd> parent = OpenDir(parts.dir);
  if (!parent) {
    return parent.error().code() == Errc::kNotFound ? Result<>()
                                                    : std::unexpected(std::move(parent).error());
  }
  return RemoveTreeAt(parent->get(), parts.name);
}

}  // namespace wherry
