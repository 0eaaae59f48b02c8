#include "store/layer_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "store/file_at.h"
#include "store/layer_dirs.h"
#include "store/layer_xattr.h"
#include "store/space.h"

namespace wherry::store {

namespace {

constexpr uint64_t kSpaceCheckEvery = uint64_t{16} << 20;
constexpr size_t kMaxLinkTarget = 4095;
// Device numbers as Linux packs them into 32 bits.
constexpr uint32_t kMaxMajor = 0xfff;
constexpr uint32_t kMaxMinor = 0xfffff;
// No entry's directory is called like this: the cached one will not be taken for it.
constexpr const char* kNoPath = "/";

bool IsWhiteout(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

Result<> SetMetadata(int fd, const TarEntry& entry) {
  // The owner first: changing it takes set-id bits and capabilities away.
  if (fchown(fd, entry.uid, entry.gid) != 0) {
    return FailSys("chown");
  }
  if (fchmod(fd, entry.mode) != 0) {
    return FailSys("chmod");
  }
  TRY(SetXattrs(fd, entry.xattrs));
  timespec times[2] = {ToTimespec(entry.mtime), ToTimespec(entry.mtime)};
  if (futimens(fd, times) != 0) {
    return FailSys("utimens");
  }
  return {};
}

Result<> Tell(IngestProgress& progress, uint64_t bytes) {
  if (progress && !progress(bytes)) {
    return Fail(Errc::kCancelled, "cancelled");
  }
  return {};
}

std::unexpected<Error> MissingTarget(const TarEntry& entry) {
  return Fail(Errc::kInvalid,
              Cat("it is a hard link to ", QuoteName(entry.link_name),
                  ", which is not in this layer; the archive must contain it before the link"));
}

}  // namespace

Result<LayerWriter> LayerWriter::Create(UniqueFd root, const Options& options) {
  constexpr timespec kEpoch[2] = {{0, 0}, {0, 0}};
  if (fchown(root.get(), 0, 0) != 0 || fchmod(root.get(), 0755) != 0 ||
      futimens(root.get(), kEpoch) != 0) {
    return FailSys("prepare the layer's directory");
  }
  return LayerWriter(std::move(root), options);
}

Result<> LayerWriter::Add(const TarEntry& entry, TarReader& reader, IngestProgress& progress) {
  LayerPath path = TRY(ParseLayerPath(entry.name, entry.type));
  switch (path.mark) {
    case LayerMark::kIgnored:
      return {};
    case LayerMark::kOpaque:
      return AddOpaque(path, entry.mtime);
    case LayerMark::kWhiteout:
      TRY(AddWhiteout(path, entry.mtime));
      return Tell(progress, written_bytes_);
    case LayerMark::kNone:
      break;
  }
  switch (entry.type) {
    case TarType::kRegular:
      TRY(AddFile(path, entry, reader, progress));
      break;
    case TarType::kDirectory:
      TRY(path.base.empty() ? AddRoot(entry) : AddDirectory(path, entry));
      break;
    case TarType::kSymlink:
      TRY(AddSymlink(path, entry));
      break;
    case TarType::kHardlink:
      TRY(AddHardlink(path, entry));
      break;
    case TarType::kCharDevice:
    case TarType::kBlockDevice:
    case TarType::kFifo:
      TRY(AddSpecial(path, entry));
      break;
  }
  return Tell(progress, written_bytes_);
}

Result<> LayerWriter::Finish() {
  return Leave();
}

// The descriptor stays owned by current_ and is valid until the next Enter.
Result<int> LayerWriter::Enter(const std::string& directory, TarTime mtime) {
  if (current_ && current_path_ == directory) {
    return current_.get();
  }
  TRY(Leave());
  UniqueFd fd = TRY(OpenOrMakeDir(root_.get(), directory, mtime));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return FailSys("fstat");
  }
  current_ = std::move(fd);
  current_path_ = directory;
  current_mtime_ = info.st_mtim;
  return current_.get();
}

Result<> LayerWriter::Leave() {
  if (!current_) {
    return {};
  }
  timespec times[2] = {{0, UTIME_OMIT}, current_mtime_};
  if (futimens(current_.get(), times) != 0) {
    return FailSys("utimens");
  }
  current_.Reset();
  return {};
}

Result<> LayerWriter::AddRoot(const TarEntry& entry) {
  int dir = TRY(Enter("", entry.mtime));
  TRY(SetMetadata(dir, entry));
  current_mtime_ = ToTimespec(entry.mtime);
  return {};
}

Result<> LayerWriter::AddDirectory(const LayerPath& path, const TarEntry& entry) {
  int dir = TRY(Enter(path.parent, entry.mtime));
  bool merge = false;
  bool whiteout = false;
  if (mkdirat(dir, path.base.c_str(), 0700) != 0) {
    struct stat info;
    if (errno != EEXIST || fstatat(dir, path.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return FailSys("mkdir");
    }
    merge = S_ISDIR(info.st_mode);
    whiteout = IsWhiteout(info);
    if (!merge) {
      TRY(ClearName(dir, path.base));
      if (mkdirat(dir, path.base.c_str(), 0700) != 0) {
        return FailSys("mkdir");
      }
    }
  }
  UniqueFd made = TRY(OpenAt(dir, path.base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (merge) {
    TRY(ClearXattrs(made.get()));
  }
  if (whiteout) {  // what the layers below have there stays hidden
    TRY(MakeOpaque(made.get()));
  }
  TRY(SetMetadata(made.get(), entry));
  TRY(Leave());
  // Most archives go on with what is in it.
  current_path_ = Cat(path.parent, path.parent.empty() ? "" : "/", path.base);
  current_ = std::move(made);
  current_mtime_ = ToTimespec(entry.mtime);
  return {};
}

Result<> LayerWriter::AddFile(const LayerPath& path, const TarEntry& entry, TarReader& reader,
                              IngestProgress& progress) {
  TRY(Account(entry));
  int dir = TRY(Enter(path.parent, entry.mtime));
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  auto created = OpenAt(dir, path.base, kFlags, 0600);
  if (!created && created.error().code() == Errc::kExists) {
    TRY(ClearName(dir, path.base));
    created = OpenAt(dir, path.base, kFlags, 0600);
  }
  UniqueFd fd = TRY(std::move(created));
  TRY(CopyContent(fd.get(), entry, reader, progress));
  return SetMetadata(fd.get(), entry);
}

Result<> LayerWriter::CopyContent(int fd, const TarEntry& entry, TarReader& reader,
                                  IngestProgress& progress) {
  for (;;) {
    TarReader::Piece piece = TRY(reader.Data());
    if (piece.bytes.empty()) {
      break;
    }
    TRY(WriteAt(fd, piece.bytes, piece.offset));
    written_bytes_ += piece.bytes.size();
    unchecked_bytes_ += piece.bytes.size();
    if (unchecked_bytes_ >= kSpaceCheckEvery) {
      TRY(CheckSpace(0));
    }
    TRY(Tell(progress, written_bytes_));
  }
  // A hole at the end.
  if (entry.sparse && ftruncate(fd, static_cast<off_t>(entry.size)) != 0) {
    return FailSys("truncate");
  }
  return {};
}

Result<> LayerWriter::Account(const TarEntry& entry) {
  if (entry.size > options_.max_bytes || size_bytes_ > options_.max_bytes - entry.size) {
    return Fail(Errc::kInvalid,
                Cat("the layer unpacks to more than the limit of ", options_.max_bytes, " bytes"));
  }
  size_bytes_ += entry.size;
  if (!entry.sparse && entry.size >= kSpaceCheckEvery) {
    return CheckSpace(entry.size);
  }
  return {};
}

Result<> LayerWriter::CheckSpace(uint64_t more) {
  unchecked_bytes_ = 0;
  return CheckFreeSpace(root_.get(), more, options_.reserve_bytes);
}

Result<> LayerWriter::AddSymlink(const LayerPath& path, const TarEntry& entry) {
  if (entry.link_name.empty() || entry.link_name.size() > kMaxLinkTarget ||
      entry.link_name.find('\0') != std::string::npos) {
    return Fail(Errc::kInvalid, "the target of the symbolic link is empty or too long");
  }
  int dir = TRY(Enter(path.parent, entry.mtime));
  const char* target = entry.link_name.c_str();
  if (symlinkat(target, dir, path.base.c_str()) != 0) {
    if (errno != EEXIST) {
      return FailSys("symlink");
    }
    TRY(ClearName(dir, path.base));
    if (symlinkat(target, dir, path.base.c_str()) != 0) {
      return FailSys("symlink");
    }
  }
  return SetMetadataByName(dir, path.base, entry);
}

// The entry's own metadata is not applied: it is that of the file, which is there already.
Result<> LayerWriter::AddHardlink(const LayerPath& path, const TarEntry& entry) {
  LayerPath target = TRY_CTX("the target of the hard link", ParseLinkTarget(entry.link_name));
  int dir = TRY(Enter(path.parent, entry.mtime));
  auto target_dir = sys::OpenInRoot(root_.get(), target.parent.empty() ? "." : target.parent,
                                    O_RDONLY | O_DIRECTORY);
  struct stat info;
  if (!target_dir ||
      fstatat(target_dir->get(), target.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
      IsWhiteout(info)) {
    return MissingTarget(entry);
  }
  if (S_ISDIR(info.st_mode)) {
    return Fail(Errc::kInvalid, "it is a hard link to a directory");
  }
  const char* from = target.base.c_str();
  if (linkat(target_dir->get(), from, dir, path.base.c_str(), 0) == 0) {
    return {};
  }
  if (errno != EEXIST) {
    return FailSys("link");
  }
  struct stat present;
  if (fstatat(dir, path.base.c_str(), &present, AT_SYMLINK_NOFOLLOW) == 0 &&
      present.st_ino == info.st_ino && present.st_dev == info.st_dev) {
    return {};  // a link to itself
  }
  TRY(ClearName(dir, path.base));
  if (linkat(target_dir->get(), from, dir, path.base.c_str(), 0) != 0) {
    return errno == ENOENT ? MissingTarget(entry) : FailSys("link");
  }
  return {};
}

Result<> LayerWriter::AddSpecial(const LayerPath& path, const TarEntry& entry) {
  if (entry.device_major > kMaxMajor || entry.device_minor > kMaxMinor) {
    return Fail(Errc::kInvalid, "its device number is out of range");
  }
  bool fifo = entry.type == TarType::kFifo;
  mode_t kind = fifo ? S_IFIFO : entry.type == TarType::kCharDevice ? S_IFCHR : S_IFBLK;
  dev_t device = fifo ? 0 : makedev(entry.device_major, entry.device_minor);
  int dir = TRY(Enter(path.parent, entry.mtime));
  if (mknodat(dir, path.base.c_str(), kind | 0600, device) != 0) {
    if (errno != EEXIST) {
      return FailSys("mknod");
    }
    TRY(ClearName(dir, path.base));
    if (mknodat(dir, path.base.c_str(), kind | 0600, device) != 0) {
      return FailSys("mknod");
    }
  }
  return SetMetadataByName(dir, path.base, entry);
}

// A name that the same layer has hides the one below anyway; a directory has to be told to.
Result<> LayerWriter::AddWhiteout(const LayerPath& path, TarTime mtime) {
  int dir = TRY(Enter(path.parent, mtime));
  if (mknodat(dir, path.base.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
    return {};
  }
  if (errno != EEXIST) {
    return FailSys("mknod");
  }
  struct stat info;
  if (fstatat(dir, path.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailSys("stat");
  }
  if (S_ISDIR(info.st_mode)) {
    UniqueFd existing = TRY(OpenAt(dir, path.base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return MakeOpaque(existing.get());
  }
  return {};
}

Result<> LayerWriter::AddOpaque(const LayerPath& path, TarTime mtime) {
  int dir = TRY(Enter(path.parent, mtime));
  return MakeOpaque(dir);
}

// Of symbolic links and special files, which must not be opened. Nobody can swap the name: see the
// class comment.
Result<> LayerWriter::SetMetadataByName(int dir, const std::string& name, const TarEntry& entry) {
  if (fchownat(dir, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailSys("chown");
  }
  if (entry.type != TarType::kSymlink && fchmodat(dir, name.c_str(), entry.mode, 0) != 0) {
    return FailSys("chmod");
  }
  timespec times[2] = {ToTimespec(entry.mtime), ToTimespec(entry.mtime)};
  if (utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailSys("utimens");
  }
  return {};
}

// Makes room for another entry of the same name.
Result<> LayerWriter::ClearName(int dir, const std::string& name) {
  // A link that was part of the way here may be what vanishes.
  current_path_ = kNoPath;
  return RemoveTreeAt(dir, name);
}

}  // namespace wherry::store
