#include "store/tree_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/file_hash.h"
#include "store/layer_xattr.h"

namespace wherry::store {

namespace {

class Walk {
 public:
  Walk(const LayerTree& tree, const Objects& objects, TreeCheck depth, size_t most)
      : tree_(tree), objects_(objects), depth_(depth), most_(most) {}

  std::vector<TreeFault> Run(int root) {
    struct stat info;
    const Inode& inode = tree_.At(tree_.InodeOf(LayerTree::kRoot));
    std::string_view fault = fstat(root, &info) != 0 ? "cannot be read" : Metadata(info, inode);
    // Not its time: a container's "/" has its own, and f2fs changes this one with the move here.
    if (!fault.empty() || !DirectoryAgrees(root, inode))
      Tell("", fault.empty() ? "has other attributes" : fault);
    Directory(LayerTree::kRoot, root, "");
    return std::move(faults_);
  }

 private:
  using Inode = LayerTree::Inode;

  void Tell(std::string path, std::string_view what) {
    if (faults_.size() < most_)
      faults_.push_back({std::move(path), std::string(what)});
  }

  // Sorted names on both sides.
  void Directory(LayerTree::NameId directory, int fd, const std::string& path) {
    auto listed = ListDirFd(fd);
    if (!listed)
      return Tell(path, "cannot be listed");
    std::sort(listed->begin(), listed->end());
    for (LayerTree::NameId child : tree_.Children(directory)) {
      if (faults_.size() >= most_)
        return;
      Entry(child, fd, std::string(tree_.Name(child)), path);
    }
    auto children = tree_.Children(directory);
    auto known = [&](const std::string& name) {
      auto at = std::lower_bound(
          children.begin(), children.end(), std::string_view(name),
          [&](LayerTree::NameId id, std::string_view key) { return tree_.Name(id) < key; });
      return at != children.end() && tree_.Name(*at) == name;
    };
    for (const std::string& name : *listed) {
      if (!known(name))
        Tell(Cat(path, path.empty() ? "" : "/", name), "does not belong there");
    }
  }

  void Entry(LayerTree::NameId id, int dir, const std::string& name, const std::string& parent) {
    std::string path = Cat(parent, parent.empty() ? "" : "/", name);
    const Inode& inode = tree_.At(tree_.InodeOf(id));
    struct stat info;
    if (fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return Tell(std::move(path), errno == ENOENT ? "is missing" : "cannot be read");
    std::string_view fault = Metadata(info, inode);
    if (fault.empty() && !SameTime(info, inode))
      fault = "has another time";
    if ((info.st_mode & S_IFMT) != (inode.FullMode() & S_IFMT))
      return Tell(std::move(path), fault);
    if (fault.empty())
      fault = More(dir, name, info, inode);
    if (!fault.empty())
      Tell(path, fault);
    if (inode.type != TarType::kDirectory)
      return;
    auto fd = OpenAt(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd)
      Directory(id, fd->get(), path);
  }

  // What an lstat tells.
  static std::string_view Metadata(const struct stat& info, const Inode& inode) {
    if ((info.st_mode & S_IFMT) != (inode.FullMode() & S_IFMT))
      return "is of another type";
    if (inode.type == TarType::kRegular && static_cast<uint64_t>(info.st_size) != inode.size)
      return "has another size";
    if (info.st_uid != inode.uid || info.st_gid != inode.gid)
      return "has another owner";
    if (inode.type != TarType::kSymlink && (info.st_mode & 07777) != inode.mode)
      return "has another mode";
    bool device = inode.type == TarType::kCharDevice || inode.type == TarType::kBlockDevice;
    if (device && info.st_rdev != makedev(inode.device_major, inode.device_minor))
      return "is another device";
    return {};
  }

  static bool SameTime(const struct stat& info, const Inode& inode) {
    return info.st_mtim.tv_sec == static_cast<time_t>(inode.mtime.seconds) &&
           info.st_mtim.tv_nsec == static_cast<long>(inode.mtime.nanos);
  }

  bool DirectoryAgrees(int fd, const Inode& inode) const {
    return IsOpaque(fd) == inode.opaque && HasXattrs(fd, tree_.Xattrs(inode));
  }

  std::string_view More(int dir, const std::string& name, const struct stat& info,
                        const Inode& inode) const {
    if (inode.type == TarType::kSymlink)
      return SameTarget(dir, name, inode) ? "" : "leads elsewhere";
    if (inode.type != TarType::kDirectory && inode.type != TarType::kRegular)
      return {};
    auto fd = OpenAt(dir, name, O_RDONLY | O_NOFOLLOW);
    if (!fd)
      return "cannot be read";
    if (inode.type == TarType::kDirectory)
      return DirectoryAgrees(fd->get(), inode) ? "" : "has other attributes";
    if (!HasXattrs(fd->get(), tree_.Xattrs(inode)))
      return "has other attributes";
    return SameContent(fd->get(), info, inode) ? "" : "has other content";
  }

  bool SameTarget(int dir, const std::string& name, const Inode& inode) const {
    std::string target(PATH_MAX, '\0');
    ssize_t size = readlinkat(dir, name.c_str(), target.data(), target.size());
    return size >= 0 &&
           std::string_view(target).substr(0, static_cast<size_t>(size)) == tree_.Text(inode);
  }

  bool SameContent(int fd, const struct stat& info, const Inode& inode) const {
    if (depth_ == TreeCheck::kMetadata || inode.content == LayerTree::Content::kNone)
      return true;
    if (inode.content == LayerTree::Content::kInline) {
      auto content = ReadAll(fd, static_cast<size_t>(inode.size) + 1, "a file");
      return content && *content == tree_.Text(inode);
    }
    const Digest& digest = tree_.Object(inode);
    struct stat object;
    bool link =
        fstatat(objects_.dir(), ObjectPath(digest).c_str(), &object, AT_SYMLINK_NOFOLLOW) == 0 &&
        object.st_ino == info.st_ino;
    if (link)
      return true;
    auto hashed = HashFile(fd, {});
    return hashed && *hashed == digest;
  }

  const LayerTree& tree_;
  const Objects& objects_;
  const TreeCheck depth_;
  const size_t most_;
  std::vector<TreeFault> faults_;
};

// The directory of `path` below `root`, step by step.
Result<UniqueFd> OpenParent(int root, std::string_view path) {
  UniqueFd fd = TRY(OpenAt(root, ".", O_RDONLY | O_DIRECTORY));
  auto parts = Split(path, '/');
  for (size_t i = 0; i + 1 < parts.size(); ++i)
    fd = TRY(OpenAt(fd.get(), std::string(parts[i]), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return fd;
}

bool IsDirectory(int dir, const std::string& name) {
  struct stat info;
  return fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

// Both have the directory.
Result<> CopyMetadata(int from, int to) {
  struct stat info;
  if (fstat(from, &info) != 0)
    return FailSys("stat");
  if (fchown(to, info.st_uid, info.st_gid) != 0)
    return FailSys("chown");
  TRY(CopyXattrs(from, to));
  timespec times[2] = {info.st_mtim, info.st_mtim};
  if (fchmod(to, info.st_mode & 07777) != 0 || futimens(to, times) != 0)
    return FailSys("set the mode or the time");
  return {};
}

Result<> Replace(int root, int fresh, const std::string& path) {
  std::string name = SplitPath(path).name;
  UniqueFd to = TRY(OpenParent(root, path));
  struct stat parent;
  if (fstat(to.get(), &parent) != 0)
    return FailSys("stat");
  auto from = OpenParent(fresh, path);
  struct stat wanted;
  bool wanted_there = from && fstatat(from->get(), name.c_str(), &wanted, AT_SYMLINK_NOFOLLOW) == 0;
  bool directory = IsDirectory(to.get(), name);
  if (!wanted_there || directory || S_ISDIR(wanted.st_mode))
    TRY(RemoveTreeAt(to.get(), name));
  if (wanted_there && renameat(from->get(), name.c_str(), to.get(), name.c_str()) != 0)
    return FailSys("rename", name);
  timespec times[2] = {parent.st_atim, parent.st_mtim};
  if (futimens(to.get(), times) != 0)
    return FailSys("set the time");
  return {};
}

}  // namespace

std::vector<TreeFault> CheckTree(const LayerTree& tree, const Objects& objects, int root,
                                 TreeCheck depth, size_t most) {
  return Walk(tree, objects, depth, most).Run(root);
}

// Directories that are there keep what is in them; their times must be taken before anything is
// moved.
Result<> MendTree(const std::vector<TreeFault>& faults, int root, int fresh) {
  std::vector<const TreeFault*> rest;
  for (const TreeFault& fault : faults) {
    if (fault.path.empty()) {
      TRY(CopyMetadata(fresh, root));
      continue;
    }
    std::string name = SplitPath(fault.path).name;
    UniqueFd to = TRY(OpenParent(root, fault.path));
    auto from = OpenParent(fresh, fault.path);
    if (!from || !IsDirectory(to.get(), name) || !IsDirectory(from->get(), name)) {
      rest.push_back(&fault);
      continue;
    }
    UniqueFd kept = TRY(OpenAt(to.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    UniqueFd model = TRY(OpenAt(from->get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY_CTX(fault.path, CopyMetadata(model.get(), kept.get()));
  }
  for (const TreeFault* fault : rest)
    TRY_CTX(fault->path, Replace(root, fresh, fault->path));
  return {};
}

}  // namespace wherry::store
