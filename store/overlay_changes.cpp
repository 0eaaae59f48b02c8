#include "store/overlay_changes.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/layer_path.h"
#include "store/layer_xattr.h"

namespace wherry::store {

namespace {

constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

// Nothing when there is no such entry.
Result<std::optional<struct stat>> Look(const UniqueFd& directory, const std::string& name) {
  struct stat info{};
  if (!directory)
    return std::nullopt;
  if (fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    return info;
  if (errno == ENOENT)
    return std::nullopt;
  return FailSys("fstatat", QuoteName(name));
}

bool IsDirectory(const std::optional<struct stat>& info) {
  return info && S_ISDIR(info->st_mode);
}

// Whether everything but the times and the entries of two directories agrees.
Result<bool> SameDirectory(int one, int other) {
  struct stat a{};
  struct stat b{};
  if (fstat(one, &a) != 0 || fstat(other, &b) != 0)
    return FailSys("fstat");
  if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid)
    return false;
  auto xattrs = TRY(ReadXattrs(other));
  return HasXattrs(one, xattrs);
}

}  // namespace

OverlayChanges::OverlayChanges(OverlayViews views, std::vector<std::string> mount_points)
    : views_(std::move(views)), mount_points_(std::move(mount_points)) {}

Result<std::optional<OverlayChange>> OverlayChanges::Next() {
  if (!begun_) {
    begun_ = true;
    TRY(Begin());
  }
  while (told_.empty() && !frames_.empty()) {
    Frame& frame = frames_.back();
    if (frame.names.next == frame.names.list.size()) {
      frames_.pop_back();
      continue;
    }
    std::string name = frame.names.list[frame.names.next++];
    TRY(Visit(frame, name));
  }
  if (told_.empty())
    return std::nullopt;
  OverlayChange change = std::move(told_.back());
  told_.pop_back();
  return change;
}

Result<> OverlayChanges::Begin() {
  Frame root{
      std::move(views_.upper), std::move(views_.merged), std::move(views_.base), false, "", {}};
  bool same = TRY(SameDirectory(root.merged.get(), root.base.get()));
  root.names = TRY(ListNames(root));
  OverlayChange change;
  change.directory = root.merged.get();
  change.name = ".";
  if (fstat(root.merged.get(), &change.info) != 0)
    return FailSys("fstat", "/");
  frames_.push_back(std::move(root));
  if (!same)
    Tell(std::move(change));
  return {};
}

Result<> OverlayChanges::Visit(Frame& frame, const std::string& name) {
  OverlayChange change;
  change.path = frame.path.empty() ? name : Cat(frame.path, "/", name);
  if (change.path.size() > kMaxPathBytes)
    return Fail(Errc::kInvalid, Cat(QuoteName(change.path), ": the path is too long for a layer"));
  auto base = TRY(Look(frame.base, name));
  auto merged = TRY(Look(frame.merged, name));
  if (!merged) {  // a whiteout, or it is gone from a directory that was replaced
    change.kind = ChangeKind::kDeleted;
    if (base)
      Tell(std::move(change));
    return {};
  }
  if (S_ISSOCK(merged->st_mode))
    return {};
  change.kind = base ? ChangeKind::kModified : ChangeKind::kAdded;
  change.directory = frame.merged.get();
  change.name = name;
  change.info = *merged;
  if (S_ISDIR(merged->st_mode))
    return Enter(frame, std::move(change), IsDirectory(base));
  bool empty_file = S_ISREG(merged->st_mode) && merged->st_size == 0;
  if (!base && empty_file && IsMountPoint(change.path, false))
    return {};
  auto upper = TRY(Look(frame.upper, name));
  if (upper && upper->st_nlink > 1)
    change.links = {uint64_t{upper->st_dev}, uint64_t{upper->st_ino}};
  Tell(std::move(change));
  return {};
}

Result<> OverlayChanges::Enter(Frame& frame, OverlayChange change, bool in_base) {
  if (frames_.size() >= kMaxPathDepth)
    return Fail(Errc::kInvalid, Cat(QuoteName(change.path), ": nested too deep for a layer"));
  Frame child{{}, {}, {}, true, change.path, {}};
  child.merged =
      TRY_CTX(QuoteName(change.path), OpenAt(frame.merged.get(), change.name, kDirFlags));
  auto upper = TRY(Look(frame.upper, change.name));
  if (IsDirectory(upper))
    child.upper =
        TRY_CTX(QuoteName(change.path), OpenAt(frame.upper.get(), change.name, kDirFlags));
  if (in_base)
    child.base = TRY_CTX(QuoteName(change.path), OpenAt(frame.base.get(), change.name, kDirFlags));
  if (child.upper && child.base && !frame.whole) {
    child.whole = IsOpaque(child.upper.get()) || IsRedirected(child.upper.get());
  }
  bool wait = child.base ? TRY(SameDirectory(child.merged.get(), child.base.get()))
                         : change.kind == ChangeKind::kAdded && IsMountPoint(change.path, true);
  child.names = TRY(ListNames(child));
  if (wait) {
    child.pending = std::move(change);
  } else {
    Tell(std::move(change));
  }
  frames_.push_back(std::move(child));
  return {};
}

Result<OverlayChanges::Names> OverlayChanges::ListNames(const Frame& frame) const {
  Names names;
  if (!frame.whole) {
    names.list = TRY(ListDirFd(frame.upper.get()));
    std::sort(names.list.begin(), names.list.end());
    return names;
  }
  names.list = TRY(ListDirFd(frame.merged.get()));
  if (frame.base) {
    auto base = TRY(ListDirFd(frame.base.get()));
    std::move(base.begin(), base.end(), std::back_inserter(names.list));
  }
  std::sort(names.list.begin(), names.list.end());
  names.list.erase(std::unique(names.list.begin(), names.list.end()), names.list.end());
  return names;
}

bool OverlayChanges::IsMountPoint(std::string_view path, bool directory) const {
  return std::any_of(mount_points_.begin(), mount_points_.end(), [&](const std::string& point) {
    bool above = directory && point.size() > path.size() && point[path.size()] == '/';
    return point.starts_with(path) && (above || point.size() == path.size());
  });
}

void OverlayChanges::Tell(OverlayChange change) {
  for (Frame& frame : frames_) {
    if (frame.pending)
      told_.push_back(*std::exchange(frame.pending, std::nullopt));
  }
  told_.push_back(std::move(change));
  std::reverse(told_.begin(), told_.end());
}

}  // namespace wherry::store
