#include "core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "core/base/libc.h"
#include "core/base/text.h"

namespace wherry {

namespace {

Result<> SyncDir(int dir) {
  // Through a fresh descriptor: `dir` may be O_PATH or AT_FDCWD, which fsync refuses.
  UniqueFd fd = TRY(OpenAt(dir, ".", O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) != 0) {
    return FailSys("fsync", "directory");
  }
  return {};
}

// Opens the temporary file of a replacement, alone. Its name is fixed, so that a crash leaves at
// most one behind and the next replacement takes it over; a second writer waits for the lock and
// then finds that the file has been renamed.
Result<UniqueFd> OpenLocked(int dir, const std::string& name) {
  for (;;) {
    UniqueFd fd = TRY(OpenAt(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    while (flock(fd.get(), LOCK_EX) != 0) {
      if (errno != EINTR) {
        return FailSys("flock", name);
      }
    }
    struct stat mine;
    struct stat named;
    if (fstat(fd.get(), &mine) != 0) {
      return FailSys("fstat", name);
    }
    if (fstatat(dir, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        mine.st_dev == named.st_dev && mine.st_ino == named.st_ino) {
      return fd;
    }
  }
}

Result<> FillTemporary(int fd, const std::string& name, std::string_view content, uint32_t mode,
                       Durability durability) {
  if (ftruncate(fd, 0) != 0) {
    return FailSys("ftruncate", name);
  }
  TRY(WriteAll(fd, content, name));
  if (fchmod(fd, mode) != 0) {
    return FailSys("fchmod", name);
  }
  if (durability == Durability::kPersistent && fsync(fd) != 0) {
    return FailSys("fsync", name);
  }
  return {};
}

Result<> WriteOnce(UniqueFd fd, const std::string& path, std::string_view content) {
  ssize_t count;
  do {
    count = write(fd.get(), content.data(), content.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    return FailSys("write", path);
  }
  if (static_cast<size_t>(count) != content.size()) {
    return Fail(Errc::kIo, Cat("write(", path, "): only ", count, " of ", content.size(),
                               " bytes were taken"));
  }
  return {};
}

}  // namespace

PathParts SplitPath(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return {".", std::string(path)};
  }
  return {std::string(path.substr(0, std::max<size_t>(slash, 1))),
          std::string(path.substr(slash + 1))};
}

Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, uint32_t mode) {
  int fd;
  do {
    fd = openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    return FailSys("open", path);
  }
  return UniqueFd(fd);
}

Result<UniqueFd> Open(const std::string& path, int flags, uint32_t mode) {
  return OpenAt(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> OpenDir(const std::string& path) {
  return OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

Result<std::string> ReadAll(int fd, size_t limit, std::string_view name) {
  constexpr size_t kStep = 4096;
  std::string content;
  struct stat info;
  size_t expected = 0;  // files of procfs and sysfs say 0 or 4096
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    expected = static_cast<size_t>(std::min<uint64_t>(static_cast<uint64_t>(info.st_size), limit));
  }
  size_t length = 0;
  for (;;) {
    if (length == content.size()) {
      content.resize(length == 0 ? expected + 1 : length + std::max(kStep, length / 2));
    }
    ssize_t count = read(fd, content.data() + length, content.size() - length);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return FailSys("read", name);
    }
    length += static_cast<size_t>(count);
    if (length > limit) {
      return Fail(Errc::kInvalid, Cat(name, " is longer than ", limit, " bytes"));
    }
    if (count == 0) {
      content.resize(length);
      return content;
    }
  }
}

Result<std::string> ReadFileAt(int dir, const std::string& path, size_t limit) {
  UniqueFd fd = TRY(OpenAt(dir, path, O_RDONLY | O_NOCTTY));
  return ReadAll(fd.get(), limit, path);
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  return ReadFileAt(AT_FDCWD, path, limit);
}

Result<> WriteAll(int fd, std::string_view bytes, std::string_view name) {
  while (!bytes.empty()) {
    ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) {
      return FailSys("write", name);
    }
    bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  }
  return {};
}

Result<> WriteAll(int fd, std::span<const std::byte> bytes, std::string_view name) {
  return WriteAll(fd, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
}

Result<> WriteExistingAt(int dir, const std::string& path, std::string_view content) {
  return WriteOnce(TRY(OpenAt(dir, path, O_WRONLY | O_NOCTTY)), path, content);
}

Result<> WriteExisting(const std::string& path, std::string_view content) {
  return WriteExistingAt(AT_FDCWD, path, content);
}

Result<> ReplaceFileAt(int dir, const std::string& name, std::string_view content, uint32_t mode,
                       Durability durability) {
  std::string temporary = Cat(".", name, ".tmp");
  UniqueFd fd = TRY(OpenLocked(dir, temporary));
  Result<> done = FillTemporary(fd.get(), temporary, content, mode, durability);
  if (done && renameat(dir, temporary.c_str(), dir, name.c_str()) != 0) {
    done = FailSys("rename", name);
  }
  if (!done) {
    unlinkat(dir, temporary.c_str(), 0);
    return done;
  }
  return durability == Durability::kPersistent ? SyncDir(dir) : Result<>();
}

Result<> ReplaceFile(const std::string& path, std::string_view content, uint32_t mode,
                     Durability durability) {
  PathParts parts = SplitPath(path);
  UniqueFd dir = TRY_CTX(Cat("replace ", path), OpenDir(parts.dir));
  TRY_CTX(Cat("replace ", path), ReplaceFileAt(dir.get(), parts.name, content, mode, durability));
  return {};
}

Result<> MakeDirs(const std::string& path, uint32_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    // The umask does not decide about modes that were asked for by name.
    return chmod(path.c_str(), mode) == 0 ? Result<>() : FailSys("chmod", path);
  }
  if (errno == EEXIST) {
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return {};
    }
    errno = ENOTDIR;
  }
  if (errno != ENOENT) {
    return FailSys("mkdir", path);
  }
  PathParts parts = SplitPath(path);
  if (parts.name.empty() || parts.dir == path) {
    return FailSys("mkdir", path);
  }
  if (parts.dir == ".") {  // "." exists: the name itself is what cannot be made
    return FailSys("mkdir", path);
  }
  TRY(MakeDirs(parts.dir, mode));
  // Tried once: procfs and sysfs answer ENOENT although the parent exists.
  if (mkdir(path.c_str(), mode) == 0) {
    return chmod(path.c_str(), mode) == 0 ? Result<>() : FailSys("chmod", path);
  }
  return errno == EEXIST ? Result<>() : FailSys("mkdir", path);
}

Result<std::vector<std::string>> ListDirFd(int dir) {
  std::vector<std::string> names;
  TRY(ForEachEntry(dir, [&names](const char* name) -> Result<> {
    names.emplace_back(name);
    return {};
  }));
  return names;
}

Result<> ForEachEntry(int dir, const std::function<Result<>(const char* name)>& use) {
  UniqueFd fd = TRY(OpenAt(dir, ".", O_RDONLY | O_DIRECTORY));
  alignas(dirent64) std::array<char, 4096> buffer;
  for (;;) {
    ssize_t count = getdents64(fd.get(), buffer.data(), buffer.size());
    if (count < 0) {
      return FailSys("getdents", "directory");
    }
    if (count == 0) {
      return {};
    }
    for (size_t at = 0; at < static_cast<size_t>(count);) {
      auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      std::string_view name = entry->d_name;
      if (name == "." || name == "..")
        continue;
      TRY(use(entry->d_name));
    }
  }
}

Result<std::vector<std::string>> ListDir(const std::string& path) {
  UniqueFd dir = TRY(OpenDir(path));
  return TRY_CTX(path, ListDirFd(dir.get()));
}

bool PathExists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

}  // namespace wherry
