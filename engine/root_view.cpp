#include "engine/root_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"
#include "core/sys/mount.h"

namespace wherry::engine {

namespace {

// The namespace ends with its thread; the descriptor keeps the mount.
Result<UniqueFd> Mount(const store::RootFs& root, sys::OverlayOptions options,
                       const std::string& mount_on) {
  TRY(sys::EnterPrivateMountNamespace());
  UniqueFd target = TRY(Open(mount_on, O_PATH | O_DIRECTORY));
  UniqueFd image;
  if (!root.image.empty()) {
    image = TRY(sys::MountErofsImage(root.image));
    options.image = sys::MetadataImage{image.get(), root.objects, root.data_only};
  }
  options.lower.insert(options.lower.end(), root.lower.begin(), root.lower.end());
  UniqueFd mounted = TRY(sys::MountOverlay(options, target.get()));
  return OpenAt(mounted.get(), ".", O_RDONLY | O_DIRECTORY);
}

Result<UniqueFd> MountAside(const store::RootFs& root, sys::OverlayOptions options,
                            const std::string& mount_on) {
  bool plain = root.image.empty() && options.upper.empty() && options.lower.empty();
  if (plain && root.lower.size() == 1)  // overlayfs does not take a single directory
    return Open(root.lower.front(), O_RDONLY | O_DIRECTORY);
  Result<UniqueFd> result;
  std::thread([&] { result = Mount(root, std::move(options), mount_on); }).join();
  if (!result)
    return std::unexpected(std::move(result).error().Wrap("cannot look into a root file system"));
  return result;
}

}  // namespace

Result<UniqueFd> OpenRoot(const store::RootFs& root, const std::string& mount_on) {
  return MountAside(root, {}, mount_on);
}

Result<UniqueFd> OpenRoot(const store::RootFs& root, const UpperDirectory& upper,
                          const std::string& mount_on) {
  return MountAside(root,
                    {.lower = {},
                     .image = {},
                     .upper = upper.upper,
                     .work = upper.work,
                     .is_volatile = upper.is_volatile},
                    mount_on);
}

Result<UniqueFd> OpenMerged(const store::RootFs& root, const std::string& upper,
                            const std::string& mount_on) {
  return MountAside(root, {.lower = {upper}, .image = {}, .upper = {}, .work = {}}, mount_on);
}

Result<store::OverlayViews> OpenChanges(const store::RootFs& root, const std::string& upper,
                                        const std::string& mount_on) {
  store::OverlayViews views;
  views.upper = TRY(Open(upper, O_RDONLY | O_DIRECTORY));
  views.base = TRY(OpenRoot(root, mount_on));
  views.merged = TRY(OpenMerged(root, upper, mount_on));
  return views;
}

Result<> MakeUpper(const std::string& upper, const store::RootFs& root) {
  if (PathExists(upper))
    return {};
  TRY(MakeDirs(upper, 0755));
  if (chown(upper.c_str(), root.uid, root.gid) != 0)
    return FailSys("chown", upper);
  if (chmod(upper.c_str(), root.mode) != 0)
    return FailSys("chmod", upper);
  return {};
}

}  // namespace wherry::engine
