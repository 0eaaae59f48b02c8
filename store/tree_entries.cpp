#include "store/tree_entries.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_path.h"

namespace wherry::store {

namespace {

constexpr size_t kMaxDepth = 256;
constexpr uint32_t kNobody = 65534;  // as the kernel shows it inside

// linux/magic.h: proc, sysfs, cgroup, cgroup2, devpts, mqueue, securityfs, debugfs.
constexpr int64_t kKernelsOwn[] = {0x9fa0, 0x62656572, 0x27e0eb,   0x63677270,
                                   0x1cd1, 0x19800202, 0x73636673, 0x64626720};

bool IsKernelsOwn(int directory) {
  struct statfs info{};
  if (fstatfs(directory, &info) != 0)
    return false;
  auto type = static_cast<int64_t>(info.f_type);
  return std::find(std::begin(kKernelsOwn), std::end(kKernelsOwn), type) != std::end(kKernelsOwn);
}

}  // namespace

Result<> TreeEntries::Enter(const OverlayChange& change, uint64_t device_above) {
  if (frames_.size() == kMaxDepth) {
    return Fail(Errc::kInvalid, Cat(QuoteName(change.path), " is nested more than ", kMaxDepth,
                                    " directories deep"));
  }
  Frame frame;
  frame.directory = TRY_CTX(QuoteName(change.path), OpenAt(change.directory, change.name,
                                                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  frame.device = change.info.st_dev;
  bool joined = change.path.empty() || change.path.ends_with('/');
  frame.path = joined ? change.path : Cat(change.path, "/");
  bool other = frame.device != device_above;
  if (!other || !IsKernelsOwn(frame.directory.get())) {
    frame.names = TRY_CTX(QuoteName(change.path), ListDirFd(frame.directory.get()));
    std::sort(frame.names.begin(), frame.names.end());
  }
  frames_.push_back(std::move(frame));
  return {};
}

Result<std::optional<OverlayChange>> TreeEntries::Next() {
  OverlayChange change;
  change.kind = ChangeKind::kAdded;
  uint64_t device_above = 0;
  if (!std::exchange(begun_, true)) {
    change.path = path_;
    change.directory = directory_.get();
    change.name = node_;
    if (fstatat(change.directory, node_.c_str(), &change.info, AT_SYMLINK_NOFOLLOW) != 0)
      return FailSys("fstatat", QuoteName(path_));
  } else {
    for (;;) {
      while (!frames_.empty() && frames_.back().next == frames_.back().names.size())
        frames_.pop_back();
      if (frames_.empty())
        return std::nullopt;
      Frame& frame = frames_.back();
      change.name = frame.names[frame.next++];
      change.directory = frame.directory.get();
      device_above = frame.device;
      change.path = Cat(frame.path, change.name);
      bool there =
          fstatat(change.directory, change.name.c_str(), &change.info, AT_SYMLINK_NOFOLLOW) == 0;
      if (!there && errno != ENOENT)
        return FailSys("fstatat", QuoteName(change.path));
      if (there && !S_ISSOCK(change.info.st_mode))
        break;
    }
  }
  if (S_ISDIR(change.info.st_mode))
    TRY(Enter(change, device_above));
  else if (change.info.st_nlink > 1)
    change.links = {change.info.st_dev, change.info.st_ino};
  if (ids_) {
    change.info.st_uid = InsideId(ids_->users, change.info.st_uid).value_or(kNobody);
    change.info.st_gid = InsideId(ids_->groups, change.info.st_gid).value_or(kNobody);
  }
  return change;
}

}  // namespace wherry::store
