#include "store/tree_extract.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "store/decompress.h"
#include "store/layer_path.h"
#include "store/layer_xattr.h"
#include "store/tar_reader.h"

namespace wherry::store {

namespace {

constexpr size_t kMostTimes = 20'000;  // of directories, set at the end

mode_t FileType(TarType type) {
  switch (type) {
    case TarType::kCharDevice:
      return S_IFCHR;
    case TarType::kBlockDevice:
      return S_IFBLK;
    default:
      return S_IFIFO;
  }
}

std::array<timespec, 2> Times(const TarTime& time) {
  timespec mtime{};
  mtime.tv_sec = static_cast<time_t>(time.seconds);
  mtime.tv_nsec = static_cast<long>(time.nanos);
  return {mtime, mtime};
}

bool IsMountPoint(int parent, const std::string& name) {
  constexpr uint64_t kMountRoot = 0x2000;  // STATX_ATTR_MOUNT_ROOT, Linux 5.8
  struct statx info{};
  return statx(parent, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info) ==
             0 &&
         (info.stx_attributes & kMountRoot) != 0;
}

// Directory and last component of an entry's name, both below where it is unpacked.
struct Place {
  std::string parent;  // "", "a/b"
  std::string name;    // empty: the directory itself
};

class Extractor {
 public:
  Extractor(ByteSource& archive, int root, const std::string& directory, ExtractOptions options)
      : reader_(archive), root_(root), base_(directory), options_(std::move(options)) {}

  Result<> Run() {
    TarEntry entry;
    while (TRY_CTX("archive", reader_.Next(entry))) {
      TRY(GoOn());
      TRY_CTX(QuoteName(entry.name), Unpack(entry));
    }
    for (const auto& [path, time] : times_) {
      auto directory = sys::OpenInRoot(root_, path, O_RDONLY | O_DIRECTORY);
      if (directory)
        (void)futimens(directory->get(), Times(time).data());
    }
    return {};
  }

 private:
  Result<> GoOn() { return options_.go_on ? options_.go_on() : Result<>(); }

  Result<Place> PlaceOf(std::string_view name) const {
    std::vector<std::string_view> parts;
    for (std::string_view part : Split(name, '/')) {
      if (part == "..")
        return Fail(Errc::kInvalid, "the name leads out of the directory it is to be unpacked in");
      if (!part.empty() && part != ".")
        parts.push_back(part);
    }
    if (options_.rename && !parts.empty() && parts[0] == options_.rename->first) {
      parts[0] = options_.rename->second;
      if (parts[0].empty())
        parts.erase(parts.begin());
    }
    Place place;
    if (parts.empty())
      return place;
    place.name = parts.back();
    parts.pop_back();
    for (std::string_view part : parts)
      Append(place.parent, place.parent.empty() ? "" : "/", part);
    return place;
  }

  Result<UniqueFd> OpenParent(const Place& place) const {
    return sys::OpenOrCreateInRoot(root_, Cat(base_, "/", place.parent), sys::CreateAs::kDirectory);
  }

  Result<> Unpack(const TarEntry& entry) {
    Place place = TRY(PlaceOf(entry.name));
    if (place.name.empty() && entry.type != TarType::kDirectory)
      return Fail(Errc::kInvalid, "only a directory can take the place of the directory itself");
    UniqueFd parent = TRY(OpenParent(place));
    if (place.name.empty())
      return Directory(entry, place, parent.get(), ".");
    TRY(MakeRoom(entry, parent.get(), place.name));
    switch (entry.type) {
      case TarType::kDirectory:
        return Directory(entry, place, parent.get(), place.name);
      case TarType::kRegular:
        return File(entry, parent.get(), place.name);
      case TarType::kSymlink:
        if (symlinkat(entry.link_name.c_str(), parent.get(), place.name.c_str()) != 0)
          return FailSys("symlinkat");
        return FinishName(entry, parent.get(), place.name);
      case TarType::kHardlink:
        return Link(entry, parent.get(), place.name);
      default:
        return Node(entry, parent.get(), place.name);
    }
  }

  // What has the name goes, unless both are directories.
  Result<> MakeRoom(const TarEntry& entry, int parent, const std::string& name) const {
    struct stat info{};
    if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return errno == ENOENT ? Result<>() : FailSys("fstatat");
    bool was = S_ISDIR(info.st_mode);
    bool becomes = entry.type == TarType::kDirectory;
    if (was && becomes)
      return {};
    if (options_.keep_kinds && was != becomes) {
      return Fail(Errc::kInvalid, was ? "cannot overwrite directory with non-directory"
                                      : "cannot overwrite non-directory with directory");
    }
    // Elsewhere, in a container that runs, the name would go with what is mounted on it.
    if (IsMountPoint(parent, name))
      return Fail(Errc::kConflict, "something is mounted there, which cannot be replaced");
    if (was)
      return RemoveTreeAt(parent, name);
    return unlinkat(parent, name.c_str(), 0) == 0 ? Result<>() : FailSys("unlinkat");
  }

  // The owner first: changing it takes away set-id bits and capabilities.
  Result<> FinishOpen(const TarEntry& entry, int fd) const {
    if (options_.owner != ExtractOptions::Owner::kCaller) {
      Owner owner = TRY(OwnerOf(entry));
      if (fchown(fd, owner.uid, owner.gid) != 0)
        return FailSys("fchown");
    }
    bool callers = options_.owner == ExtractOptions::Owner::kCaller;
    if (fchmod(fd, entry.mode & (callers ? 01777 : 07777)) != 0)
      return FailSys("fchmod");
    if (options_.owner != ExtractOptions::Owner::kCaller)
      TRY(SetXattrs(fd, entry.xattrs));
    return {};
  }

  // What cannot be opened without doing something.
  Result<> FinishName(const TarEntry& entry, int parent, const std::string& name) const {
    if (options_.owner != ExtractOptions::Owner::kCaller) {
      Owner owner = TRY(OwnerOf(entry));
      if (fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
        return FailSys("fchownat");
    }
    (void)utimensat(parent, name.c_str(), Times(entry.mtime).data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }

  struct Owner {
    uint32_t uid;
    uint32_t gid;
  };
  Result<Owner> OwnerOf(const TarEntry& entry) const {
    bool given = options_.owner == ExtractOptions::Owner::kGiven;
    Owner owner{given ? options_.uid : entry.uid, given ? options_.gid : entry.gid};
    if (!options_.ids)
      return owner;
    std::optional<uint32_t> uid = OutsideId(options_.ids->users, owner.uid);
    std::optional<uint32_t> gid = OutsideId(options_.ids->groups, owner.gid);
    if (!uid || !gid) {
      return Fail(Errc::kInvalid, Cat("the container's user namespace has no user ", owner.uid,
                                      " with group ", owner.gid));
    }
    return Owner{*uid, *gid};
  }

  Result<> Directory(const TarEntry& entry, const Place& place, int parent,
                     const std::string& name) {
    if (name != "." && mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST)
      return FailSys("mkdirat");
    UniqueFd fd = TRY(OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (times_.size() < kMostTimes)
      times_.emplace_back(Cat(base_, "/", place.parent, "/", place.name), entry.mtime);
    return FinishOpen(entry, fd.get());
  }

  Result<> File(const TarEntry& entry, int parent, const std::string& name) {
    UniqueFd fd = TRY(OpenAt(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    for (;;) {
      TarReader::Piece piece = TRY(reader_.Data());
      if (piece.bytes.empty())
        break;
      TRY(GoOn());
      TRY(WriteAt(fd.get(), piece));
    }
    if (ftruncate(fd.get(), static_cast<off_t>(entry.size)) != 0)
      return FailSys("ftruncate");
    TRY(FinishOpen(entry, fd.get()));
    (void)futimens(fd.get(), Times(entry.mtime).data());
    return {};
  }

  static Result<> WriteAt(int fd, const TarReader::Piece& piece) {
    for (size_t done = 0; done < piece.bytes.size();) {
      ssize_t count = pwrite(fd, piece.bytes.data() + done, piece.bytes.size() - done,
                             static_cast<off_t>(piece.offset + done));
      if (count < 0 && errno != EINTR)
        return FailSys("pwrite");
      done += count > 0 ? static_cast<size_t>(count) : 0;
    }
    return {};
  }

  Result<> Link(const TarEntry& entry, int parent, const std::string& name) const {
    Place target = TRY_CTX("link", PlaceOf(entry.link_name));
    if (target.name.empty())
      return Fail(Errc::kInvalid, "a link to a directory");
    UniqueFd from = TRY_CTX(
        "link", sys::OpenInRoot(root_, Cat(base_, "/", target.parent), O_PATH | O_DIRECTORY));
    if (linkat(from.get(), target.name.c_str(), parent, name.c_str(), 0) != 0)
      return FailSys("linkat", QuoteName(entry.link_name));
    return {};
  }

  Result<> Node(const TarEntry& entry, int parent, const std::string& name) const {
    mode_t type = FileType(entry.type);
    if (type != S_IFIFO && options_.owner == ExtractOptions::Owner::kCaller)
      return Fail(Errc::kUnsupported, "device nodes are not copied out of a container");
    dev_t device = type == S_IFIFO ? 0 : makedev(entry.device_major, entry.device_minor);
    if (mknodat(parent, name.c_str(), type | 0600, device) != 0)
      return FailSys("mknodat");
    TRY(FinishName(entry, parent, name));
    // By descriptor: the name may be a link to anything by now, and chmod follows links.
    UniqueFd fd = TRY(OpenAt(parent, name, O_PATH | O_NOFOLLOW));
    struct stat info{};
    if (fstat(fd.get(), &info) != 0 || (info.st_mode & S_IFMT) != type)
      return Fail(Errc::kConflict, "it was changed meanwhile");
    if (chmod(Cat("/proc/self/fd/", fd.get()).c_str(), entry.mode & 07777) != 0)
      return FailSys("chmod");
    return {};
  }

  TarReader reader_;
  int root_;
  const std::string base_;
  ExtractOptions options_;
  std::vector<std::pair<std::string, TarTime>> times_;
};

}  // namespace

Result<> ExtractTree(ByteSource& archive, int root, const std::string& directory,
                     ExtractOptions options) {
  auto plain = TRY_CTX("archive", Decompress(archive, Compression::kNone, Limits()));
  return Extractor(*plain, root, directory, std::move(options)).Run();
}

}  // namespace wherry::store
