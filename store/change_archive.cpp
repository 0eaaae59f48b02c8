#include "store/change_archive.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_path.h"
#include "store/layer_xattr.h"
#include "store/tar_pax.h"
#include "store/tar_writer.h"

namespace wherry::store {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr uint64_t kBlock = 512;

std::unexpected<Error> Changed(const std::string& path) {
  return Fail(Errc::kConflict, Cat(QuoteName(path), " was changed while it was read"));
}

TarType TypeOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return TarType::kDirectory;
    case S_IFLNK:
      return TarType::kSymlink;
    case S_IFCHR:
      return TarType::kCharDevice;
    case S_IFBLK:
      return TarType::kBlockDevice;
    case S_IFIFO:
      return TarType::kFifo;
    default:
      return TarType::kRegular;
  }
}

// The data of a file; all of it where there are no holes, or too many of them to list.
Result<std::vector<SparseExtent>> FindExtents(int fd, const struct stat& info,
                                              const std::string& path) {
  auto size = static_cast<uint64_t>(info.st_size);
  std::vector<SparseExtent> whole = {{0, size}};
  if (static_cast<uint64_t>(info.st_blocks) * kBlock >= size)
    return whole;
  std::vector<SparseExtent> extents;
  for (off_t at = 0; at < info.st_size;) {
    off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      break;
    off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    if (hole < 0)
      return errno == EINVAL ? Result<std::vector<SparseExtent>>(whole) : FailSys("lseek", path);
    uint64_t end = std::min(static_cast<uint64_t>(hole), size);
    if (end <= static_cast<uint64_t>(data))
      break;
    if (extents.size() == kMaxSparseExtents)
      return whole;
    extents.push_back({static_cast<uint64_t>(data), end - static_cast<uint64_t>(data)});
    at = static_cast<off_t>(end);
  }
  return extents;
}

Result<std::string> ReadLink(const OverlayChange& change) {
  std::string target(PATH_MAX, '\0');
  ssize_t size = readlinkat(change.directory, change.name.c_str(), target.data(), target.size());
  if (size < 0)
    return FailSys("readlinkat", QuoteName(change.path));
  target.resize(static_cast<size_t>(size));
  return target;
}

std::string WhiteoutName(const std::string& path) {
  size_t slash = path.rfind('/');
  size_t at = slash == std::string::npos ? 0 : slash + 1;
  return Cat(path.substr(0, at), kWhiteout, path.substr(at));
}

}  // namespace

Result<size_t> ChangeArchive::Read(std::span<std::byte> out) {
  for (;;) {
    if (given_ < text_.size()) {
      size_t count = std::min(out.size(), text_.size() - given_);
      memcpy(out.data(), text_.data() + given_, count);
      given_ += count;
      return count;
    }
    text_.clear();
    given_ = 0;
    if (file_)
      return ReadFile(out);
    if (ended_)
      return 0;
    TRY(Advance());
  }
}

Result<> ChangeArchive::Advance() {
  auto change = TRY(changes_->Next());
  if (!change) {
    ended_ = true;
    text_ = TarEnd();
    return {};
  }
  ++entries_;
  return Begin(*change);
}

Result<> ChangeArchive::Begin(const OverlayChange& change) {
  TarEntry entry;
  if (change.kind == ChangeKind::kDeleted) {
    entry.name = WhiteoutName(change.path);
    text_ = TarEntryHeader(entry);
    return {};
  }
  std::string_view base = change.path;
  if (auto slash = base.rfind('/'); slash != std::string_view::npos)
    base.remove_prefix(slash + 1);
  if (layer_ && base.starts_with(kWhiteout)) {
    return Fail(Errc::kUnsupported,
                Cat(QuoteName(change.path), ": a layer cannot have names that begin with .wh."));
  }
  entry.name = change.path;
  entry.type = TypeOf(change.info.st_mode);
  entry.mode = change.info.st_mode & 07777;
  entry.uid = change.info.st_uid;
  entry.gid = change.info.st_gid;
  entry.mtime.seconds = change.info.st_mtim.tv_sec;
  if (change.links) {
    auto [first, fresh] = links_.try_emplace(*change.links, change.path);
    if (!fresh) {
      entry.type = TarType::kHardlink;
      entry.link_name = first->second;
      text_ = TarEntryHeader(entry);
      return {};
    }
  }
  switch (entry.type) {
    case TarType::kRegular:
      return BeginFile(change, entry);
    case TarType::kDirectory: {
      UniqueFd directory =
          TRY_CTX(QuoteName(change.path),
                  OpenAt(change.directory, change.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      entry.xattrs = TRY_CTX(QuoteName(change.path), ReadXattrs(directory.get()));
      entry.name = change.path.empty()          ? "./"
                   : change.path.ends_with('/') ? change.path
                                                : Cat(change.path, "/");
      break;
    }
    case TarType::kSymlink:
      entry.link_name = TRY(ReadLink(change));
      entry.mode = 0777;
      break;
    default:
      entry.device_major = major(change.info.st_rdev);
      entry.device_minor = minor(change.info.st_rdev);
  }
  text_ = TarEntryHeader(entry);
  return {};
}

// Not to wait for a writer, should it have become a pipe.
Result<> ChangeArchive::BeginFile(const OverlayChange& change, TarEntry& entry) {
  file_ = TRY_CTX(QuoteName(change.path),
                  OpenAt(change.directory, change.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (fstat(file_.get(), &info) != 0)
    return FailSys("fstat", QuoteName(change.path));
  if (!S_ISREG(info.st_mode))
    return Changed(change.path);
  path_ = change.path;
  entry.size = static_cast<uint64_t>(info.st_size);
  entry.xattrs = TRY_CTX(QuoteName(path_), ReadXattrs(file_.get()));
  extents_ = TRY(FindExtents(file_.get(), info, path_));
  extent_ = 0;
  content_ = 0;
  for (const SparseExtent& extent : extents_)
    content_ += extent.size;
  entry.sparse = content_ != entry.size;
  text_ = TarEntryHeader(entry, extents_);
  if (content_ == 0)
    file_.Reset();
  return {};
}

Result<size_t> ChangeArchive::ReadFile(std::span<std::byte> out) {
  SparseExtent& extent = extents_[extent_];
  size_t wanted = static_cast<size_t>(std::min<uint64_t>(out.size(), extent.size));
  ssize_t count;
  do {
    count = pread(file_.get(), out.data(), wanted, static_cast<off_t>(extent.offset));
  } while (count < 0 && errno == EINTR);
  if (count < 0)
    return FailSys("pread", QuoteName(path_));
  if (count == 0)
    return Changed(path_);
  extent.offset += static_cast<uint64_t>(count);
  extent.size -= static_cast<uint64_t>(count);
  extent_ += extent.size == 0 ? 1 : 0;
  if (extent_ == extents_.size()) {
    file_.Reset();
    text_ = TarPadding(content_);
  }
  return static_cast<size_t>(count);
}

}  // namespace wherry::store
