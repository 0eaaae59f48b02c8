#include "store/checkout.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_xattr.h"

namespace wherry::store {

namespace {

timespec ToTimespec(TarTime time) {
  return {static_cast<time_t>(time.seconds), static_cast<long>(time.nanos)};
}

bool SameTime(timespec a, timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Copies what is not a hole.
Result<> CopyContent(int from, int to, uint64_t size) {
  if (ioctl(to, static_cast<int>(FICLONE), from) == 0)
    return {};
  auto end = static_cast<off_t>(size);
  for (off_t at = 0; at < end;) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      break;  // a hole to the end
    off_t hole = data < 0 ? end : lseek(from, data, SEEK_HOLE);
    at = std::max<off_t>(data, at);
    for (off_t stop = hole < 0 ? end : hole; at < stop;) {
      char buffer[16384];
      size_t wanted = std::min<size_t>(sizeof buffer, static_cast<size_t>(stop - at));
      ssize_t count = pread(from, buffer, wanted, at);
      if (count <= 0)
        return count == 0 ? Fail(Errc::kCorrupt, "an object is shorter than it was")
                          : FailSys("read", "an object");
      if (pwrite(to, buffer, static_cast<size_t>(count), at) != count)
        return FailSys("write");
      at += count;
    }
  }
  if (ftruncate(to, end) != 0)
    return FailSys("truncate");
  return {};
}

class Checkout {
 public:
  Checkout(const LayerTree& tree, const Objects& objects, int root)
      : tree_(tree), objects_(objects), root_(root) {}

  Result<> Run() { return FillDirectory(LayerTree::kRoot, root_, ""); }

 private:
  using Inode = LayerTree::Inode;

  Result<> FillDirectory(LayerTree::NameId directory, int fd, const std::string& path) {
    for (LayerTree::NameId child : tree_.Children(directory)) {
      std::string name(tree_.Name(child));
      TRY_CTX(QuoteName(Cat(path, name)), Place(child, fd, name, path));
    }
    const Inode& inode = tree_.At(tree_.InodeOf(directory));
    if (inode.opaque)
      TRY(MakeOpaque(fd));
    return SetMetadata(fd, inode);
  }

  Result<> Place(LayerTree::NameId id, int dir, const std::string& name, const std::string& path) {
    const Inode& inode = tree_.At(tree_.InodeOf(id));
    if (inode.type == TarType::kDirectory) {
      if (mkdirat(dir, name.c_str(), 0700) != 0)
        return FailSys("mkdir");
      UniqueFd made = TRY(OpenAt(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      return FillDirectory(id, made.get(), Cat(path, name, "/"));
    }
    if (inode.links > 1) {
      auto [first, added] = first_names_.try_emplace(tree_.InodeOf(id), Cat(path, name));
      if (!added) {
        if (linkat(root_, first->second.c_str(), dir, name.c_str(), 0) != 0)
          return FailSys("link");
        return {};
      }
    }
    switch (inode.type) {
      case TarType::kRegular:
        return PlaceFile(inode, dir, name);
      case TarType::kSymlink:
        if (symlinkat(std::string(tree_.Text(inode)).c_str(), dir, name.c_str()) != 0)
          return FailSys("symlink");
        break;
      default:
        if (mknodat(dir, name.c_str(), inode.FullMode(),
                    makedev(inode.device_major, inode.device_minor)) != 0)
          return FailSys("mknod");
    }
    return SetMetadataByName(dir, name, inode);
  }

  Result<> PlaceFile(const Inode& inode, int dir, const std::string& name) {
    if (inode.content != LayerTree::Content::kObject) {
      UniqueFd made = TRY(OpenAt(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
      TRY(WriteAll(made.get(), tree_.Text(inode), name));
      return SetMetadata(made.get(), inode);
    }
    const Digest& digest = tree_.Object(inode);
    auto own = objects_.OpenOwn(digest);
    bool here = own.has_value();  // else on another file system
    UniqueFd object = TRY_CTX(Cat("its content ", digest.string()),
                              here ? std::move(own) : objects_.OpenObject(digest));
    struct stat info;
    if (fstat(object.get(), &info) != 0)
      return FailSys("stat");
    bool agrees = here && info.st_nlink > 1 && Agrees(object.get(), info, inode);
    if (here && info.st_nlink == 1) {
      TRY(ClearXattrs(object.get()));
      TRY(SetMetadata(object.get(), inode));
      agrees = true;
    }
    if (agrees && linkat(objects_.dir(), ObjectPath(digest).c_str(), dir, name.c_str(), 0) == 0)
      return {};
    if (agrees && errno != EMLINK)
      return FailSys("link");
    UniqueFd made = TRY(OpenAt(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    TRY(CopyContent(object.get(), made.get(), inode.size));
    return SetMetadata(made.get(), inode);
  }

  bool Agrees(int fd, const struct stat& info, const Inode& inode) const {
    if (info.st_uid != inode.uid || info.st_gid != inode.gid ||
        (info.st_mode & 07777) != inode.mode || !SameTime(info.st_mtim, ToTimespec(inode.mtime)) ||
        static_cast<uint64_t>(info.st_size) != inode.size)
      return false;
    return HasXattrs(fd, tree_.Xattrs(inode));
  }

  Result<> SetMetadata(int fd, const Inode& inode) const {
    // The owner first: changing it clears capabilities and set-user-ID.
    if (fchown(fd, inode.uid, inode.gid) != 0)
      return FailSys("chown");
    TRY(SetXattrs(fd, tree_.Xattrs(inode)));
    timespec times[2] = {ToTimespec(inode.mtime), ToTimespec(inode.mtime)};
    if (fchmod(fd, inode.mode) != 0 || futimens(fd, times) != 0)
      return FailSys("set the mode or the time");
    return {};
  }

  static Result<> SetMetadataByName(int dir, const std::string& name, const Inode& inode) {
    timespec times[2] = {ToTimespec(inode.mtime), ToTimespec(inode.mtime)};
    if (fchownat(dir, name.c_str(), inode.uid, inode.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return FailSys("chown");
    if (inode.type != TarType::kSymlink && fchmodat(dir, name.c_str(), inode.mode, 0) != 0)
      return FailSys("chmod");
    if (utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      return FailSys("set the time");
    return {};
  }

  const LayerTree& tree_;
  const Objects& objects_;
  const int root_;
  std::unordered_map<LayerTree::InodeId, std::string> first_names_;  // of files with several
};

}  // namespace

Result<> CheckOut(const LayerTree& tree, const Objects& objects, int root) {
  return Checkout(tree, objects, root).Run();
}

}  // namespace wherry::store
