#include "engine/volume_view.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/copy_up.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "core/sys/path.h"
#include "engine/volumes.h"

namespace wherry::engine {

namespace {

bool IsVolume(const MountRequest& mount) {
  return mount.type != MountRequest::Type::kTmpfs;
}

Result<> MakeReadOnly(int mount, sys::Recursive recursive) {
  UniqueFd procfs;
  if (!sys::HasMountSetattr())
    procfs = TRY(Open("/proc", O_PATH | O_DIRECTORY));
  sys::MountAttributes read_only;
  read_only.set = MOUNT_ATTR_RDONLY;
  return sys::SetMountAttributes(mount, read_only, recursive, procfs.get());
}

Result<> MountOne(const MountRequest& mount, int root) {
  Result<UniqueFd> source = Open(mount.source, O_PATH);
  if (!source && source.error().code() == Errc::kNotFound)  // it is made by the start
    return {};
  UniqueFd opened = TRY(std::move(source));
  struct stat info{};
  if (fstat(opened.get(), &info) < 0)
    return FailSys("fstat", mount.source);
  auto kind = S_ISDIR(info.st_mode) ? sys::CreateAs::kDirectory : sys::CreateAs::kFile;
  auto recursive = mount.recursive ? sys::Recursive::kYes : sys::Recursive::kNo;
  UniqueFd tree = TRY(sys::CloneTree(opened.get(), "", recursive));
  UniqueFd place = TRY(sys::OpenOrCreateInRoot(root, mount.target, kind));
  struct stat top{};
  if (fstat(root, &top) < 0 || fstat(place.get(), &info) < 0)
    return FailSys("fstat", mount.target);
  if (info.st_dev == top.st_dev && info.st_ino == top.st_ino)
    return Fail(Errc::kInvalid, "a mount cannot cover the root file system");
  if (mount.fill) {
    UniqueFd covered = TRY(OpenAt(place.get(), ".", O_RDONLY | O_DIRECTORY));
    UniqueFd empty = TRY(OpenAt(tree.get(), ".", O_RDONLY | O_DIRECTORY));
    TRY_CTX("copy the image's content", runtime::CopyUp(covered.get(), empty.get()));
  }
  TRY(sys::AttachMount(tree.get(), place.get()));
  if (!mount.read_only)
    return {};
  bool whole = mount.read_only_recursive && sys::HasMountSetattr();
  return MakeReadOnly(tree.get(), whole ? sys::Recursive::kYes : sys::Recursive::kNo);
}

template <class Wanted>
Result<> MountAll(const ContainerConfig& config, int root, Wanted wanted) {
  for (const MountRequest& mount : config.host.mounts) {
    if (IsVolume(mount) && wanted(mount))
      TRY_CTX(Cat("mount ", mount.source, " on ", mount.target), MountOne(mount, root));
  }
  return {};
}

}  // namespace

MountInside VolumesToWrite(const ContainerConfig& config) {
  if (std::ranges::none_of(config.host.mounts, IsVolume) && !config.host.readonly_rootfs)
    return {};
  return [&config](int root) -> Result<> {
    TRY(MountAll(config, root, [](const MountRequest&) { return true; }));
    return config.host.readonly_rootfs ? MakeReadOnly(root, sys::Recursive::kNo) : Result<>();
  };
}

MountInside VolumesToRead(const ContainerConfig& config) {
  if (std::ranges::none_of(config.host.mounts, IsVolume))
    return {};
  return [&config](int root) {
    return MountAll(config, root, [root](const MountRequest& mount) {
      return !WaitsToBeFilled(mount) || !sys::OpenInRoot(root, mount.target, O_PATH);
    });
  };
}

}  // namespace wherry::engine
