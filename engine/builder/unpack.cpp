#include "engine/builder/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "store/layer_path.h"
#include "store/layer_xattr.h"
#include "store/tar_reader.h"

namespace wherry::engine {

namespace {

using store::QuoteName;
using store::TarEntry;
using store::TarType;

constexpr uint64_t kMaxEntries = 500'000;
constexpr uint64_t kSpacePeriod = uint64_t{16} << 20;  // bytes written between two looks
constexpr uint32_t kDirMode = 0755;

std::array<timespec, 2> TimesOf(const store::TarTime& time) {
  timespec spec{static_cast<time_t>(time.seconds), static_cast<long>(time.nanos)};
  return {spec, spec};
}

// "./a//b/" -> "a/b"; empty for the root itself.
Result<std::string> CleanName(std::string_view name) {
  std::string clean;
  for (std::string_view part : Split(name, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part == "..")
      return Fail(Errc::kInvalid, Cat("the archive has a name that leads out: ", QuoteName(name)));
    Append(clean, clean.empty() ? "" : "/", part);
  }
  if (clean.size() > store::kMaxPathBytes)
    return Fail(Errc::kInvalid, Cat("the archive has a name that is too long: ", QuoteName(name)));
  return clean;
}

mode_t NodeType(TarType type) {
  return type == TarType::kCharDevice ? S_IFCHR : type == TarType::kBlockDevice ? S_IFBLK : S_IFIFO;
}

class Unpacker {
 public:
  Unpacker(store::TarReader& reader, int root, const std::string& prefix,
           const UnpackOptions& options)
      : reader_(reader), root_(root), prefix_(prefix), options_(options) {}

  Result<> Run() {
    TRY(sys::OpenOrCreateInRoot(root_, Below(""), sys::CreateAs::kDirectory, kDirMode));
    TarEntry entry;
    for (uint64_t count = 0; TRY(reader_.Next(entry)); ++count) {
      if (count == kMaxEntries)
        return Fail(Errc::kInvalid, Cat("the archive has more than ", kMaxEntries, " entries"));
      TRY_CTX(QuoteName(entry.name), Take(entry));
    }
    // Last, because what comes into a directory changes its time.
    for (auto directory = times_.rbegin(); directory != times_.rend(); ++directory)
      SetTime(*directory);
    return {};
  }

 private:
  struct DirTime {
    std::string path;
    store::TarTime time;
  };

  struct Place {
    UniqueFd parent;
    std::string name;
  };

  std::string Below(const std::string& path) const { return Cat(prefix_, "/", path); }

  Result<Place> Find(const std::string& path) const {
    auto parts = SplitLast(path, '/');
    std::string above = Below(parts ? std::string(parts->head) : std::string());
    UniqueFd parent =
        TRY(sys::OpenOrCreateInRoot(root_, above, sys::CreateAs::kDirectory, kDirMode));
    return Place{std::move(parent), parts ? std::string(parts->tail) : path};
  }

  Result<> Take(const TarEntry& entry) {
    std::string path = TRY(CleanName(entry.name));
    if (path.empty())  // the root stays as it is
      return {};
    Place place = TRY(Find(path));
    TRY(MakeRoom(place, entry.type));
    switch (entry.type) {
      case TarType::kDirectory:
        return TakeDirectory(place, path, entry);
      case TarType::kRegular:
        return TakeFile(place, entry);
      case TarType::kSymlink:
        if (symlinkat(entry.link_name.c_str(), place.parent.get(), place.name.c_str()) != 0)
          return FailSys("symlinkat");
        return SetLinkMetadata(place, entry);
      case TarType::kHardlink:
        return TakeHardlink(place, entry);
      default:
        break;
    }
    if (options_.devices == Devices::kRefuse)
      return Fail(Errc::kInvalid, "devices and pipes are not allowed here");
    dev_t device = makedev(entry.device_major, entry.device_minor);
    if (mknodat(place.parent.get(), place.name.c_str(), NodeType(entry.type) | 0600, device) != 0)
      return FailSys("mknodat");
    TRY(SetLinkMetadata(place, entry));
    if (fchmodat(place.parent.get(), place.name.c_str(), entry.mode & 07777, 0) != 0)
      return FailSys("fchmodat");
    return {};
  }

  Result<> MakeRoom(const Place& place, TarType type) const {
    struct stat info{};
    if (fstatat(place.parent.get(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return errno == ENOENT ? Result<>() : FailSys("fstatat");
    if (S_ISDIR(info.st_mode) && type == TarType::kDirectory)
      return {};
    return RemoveTreeAt(place.parent.get(), place.name);
  }

  Result<> SetMetadata(int fd, const TarEntry& entry) const {
    auto [uid, gid] = OwnerOf(entry);
    if (fchown(fd, uid, gid) != 0)
      return FailSys("fchown");
    if (fchmod(fd, entry.mode & 07777) != 0)
      return FailSys("fchmod");
    return store::SetXattrs(fd, entry.xattrs);
  }

  std::pair<uint32_t, uint32_t> OwnerOf(const TarEntry& entry) const {
    return options_.owner.value_or(std::pair{entry.uid, entry.gid});
  }

  Result<> SetLinkMetadata(const Place& place, const TarEntry& entry) const {
    auto [uid, gid] = OwnerOf(entry);
    if (fchownat(place.parent.get(), place.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
      return FailSys("fchownat");
    auto times = TimesOf(entry.mtime);
    (void)utimensat(place.parent.get(), place.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    return {};
  }

  Result<> TakeDirectory(const Place& place, const std::string& path, const TarEntry& entry) {
    if (mkdirat(place.parent.get(), place.name.c_str(), 0700) != 0 && errno != EEXIST)
      return FailSys("mkdirat");
    UniqueFd directory =
        TRY(OpenAt(place.parent.get(), place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    times_.push_back({path, entry.mtime});
    return SetMetadata(directory.get(), entry);
  }

  Result<> TakeFile(const Place& place, const TarEntry& entry) {
    UniqueFd file =
        TRY(OpenAt(place.parent.get(), place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    for (;;) {
      auto piece = TRY(reader_.Data());
      if (piece.bytes.empty())
        break;
      TRY(Write(file.get(), piece));
      TRY(CheckSpace(piece.bytes.size()));
    }
    if (ftruncate(file.get(), static_cast<off_t>(entry.size)) != 0)
      return FailSys("ftruncate");
    TRY(SetMetadata(file.get(), entry));
    auto times = TimesOf(entry.mtime);
    if (futimens(file.get(), times.data()) != 0)
      return FailSys("futimens");
    return {};
  }

  static Result<> Write(int file, const store::TarReader::Piece& piece) {
    for (size_t done = 0; done < piece.bytes.size();) {
      ssize_t count = pwrite(file, piece.bytes.data() + done, piece.bytes.size() - done,
                             static_cast<off_t>(piece.offset + done));
      if (count < 0 && errno != EINTR)
        return FailSys("pwrite");
      done += count > 0 ? static_cast<size_t>(count) : 0;
    }
    return {};
  }

  Result<> CheckSpace(size_t written) {
    written_ += written;
    if (written_ < kSpacePeriod)
      return {};
    written_ = 0;
    struct statvfs space{};
    if (fstatvfs(root_, &space) != 0)
      return FailSys("fstatvfs");
    if (uint64_t{space.f_bavail} * space.f_frsize < options_.reserve_bytes)
      return Fail(Errc::kNoSpace, "no space left on the disk for what is unpacked");
    return {};
  }

  // To what the archive had before; the target is a name in the archive, too.
  Result<> TakeHardlink(const Place& place, const TarEntry& entry) const {
    std::string path = TRY(CleanName(entry.link_name));
    auto parts = SplitLast(path, '/');
    UniqueFd parent = TRY(sys::OpenInRoot(
        root_, Below(parts ? std::string(parts->head) : std::string()), O_PATH | O_DIRECTORY));
    std::string name = parts ? std::string(parts->tail) : path;
    if (linkat(parent.get(), name.c_str(), place.parent.get(), place.name.c_str(), 0) != 0)
      return FailSys("linkat", QuoteName(entry.link_name));
    return {};
  }

  void SetTime(const DirTime& directory) const {
    auto opened =
        sys::OpenInRoot(root_, Below(directory.path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    auto times = TimesOf(directory.time);
    if (opened)  // a later entry may have replaced it
      (void)futimens(opened->get(), times.data());
  }

  store::TarReader& reader_;
  int root_;
  const std::string& prefix_;
  const UnpackOptions& options_;
  uint64_t written_ = kSpacePeriod;  // since the last look at the space
  std::vector<DirTime> times_;
};

}  // namespace

Result<> Unpack(ByteSource& tar, int root, const std::string& prefix,
                const UnpackOptions& options) {
  store::TarReader reader(tar);
  return Unpacker(reader, root, prefix, options).Run();
}

}  // namespace wherry::engine
