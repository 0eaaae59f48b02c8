#include "engine/root_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount.h"

namespace wherry::engine {

namespace {

// Directories of an overlay that are reached by descriptors.
struct Scratch {
  UniqueFd memory;
  UniqueFd lower;
};

std::string PathOf(const UniqueFd& fd) {
  return Cat("/proc/thread-self/fd/", fd.get());
}

// An upper directory in memory, mounted on `target`, with owner and mode of the "/" it lies over,
// which may be a directory in `target`. What `options` name is good while the result is there.
Result<Scratch> MountScratch(const store::RootFs& root, int target, sys::OverlayOptions& options) {
  Scratch scratch;
  store::RootFs top = root;
  if (!options.lower.empty()) {
    scratch.lower = TRY(Open(options.lower.front(), O_PATH | O_DIRECTORY));
    options.lower.front() = PathOf(scratch.lower);
    struct stat info{};
    if (fstat(scratch.lower.get(), &info) != 0)
      return FailSys("fstat", "upper");
    top.mode = info.st_mode & 07777;
    top.uid = info.st_uid;
    top.gid = info.st_gid;
  }
  sys::FsContext context = TRY(sys::FsContext::Open("tmpfs"));
  scratch.memory = TRY(context.Mount(0));
  TRY(sys::AttachMount(scratch.memory.get(), target));
  options.upper = Cat(PathOf(scratch.memory), "/upper");
  options.work = Cat(PathOf(scratch.memory), "/work");
  TRY(MakeDirs(options.work, 0700));
  TRY(MakeUpper(options.upper, top));
  return scratch;
}

// The namespace ends with its thread; the descriptor keeps the mount.
Result<UniqueFd> Mount(const store::RootFs& root, sys::OverlayOptions options,
                       const std::string& mount_on, MountInside inside) {
  TRY(sys::EnterPrivateMountNamespace());
  UniqueFd target = TRY(Open(mount_on, O_PATH | O_DIRECTORY));
  UniqueFd image;
  if (!root.image.empty()) {
    image = TRY(sys::MountErofsImage(root.image));
    options.image = sys::MetadataImage{image.get(), root.objects, root.data_only};
  }
  Scratch scratch;
  if (inside && options.upper.empty())
    scratch = TRY(MountScratch(root, target.get(), options));
  options.lower.insert(options.lower.end(), root.lower.begin(), root.lower.end());
  UniqueFd mounted = TRY(sys::MountOverlay(options, target.get()));
  if (!inside)
    return OpenAt(mounted.get(), ".", O_RDONLY | O_DIRECTORY);
  TRY(inside(mounted.get()));
  return sys::CloneTree(mounted.get(), "", sys::Recursive::kYes);
}

Result<UniqueFd> MountAside(const store::RootFs& root, sys::OverlayOptions options,
                            const std::string& mount_on, MountInside inside) {
  bool plain = root.image.empty() && options.upper.empty() && options.lower.empty() && !inside;
  if (plain && root.lower.size() == 1)  // overlayfs does not take a single directory
    return Open(root.lower.front(), O_RDONLY | O_DIRECTORY);
  Result<UniqueFd> result;
  std::thread([&] {
    result = Mount(root, std::move(options), mount_on, std::move(inside));
  }).join();
  if (!result)
    return std::unexpected(std::move(result).error().Wrap("cannot look into a root file system"));
  return result;
}

}  // namespace

Result<UniqueFd> OpenRoot(const store::RootFs& root, const std::string& mount_on,
                          MountInside inside) {
  return MountAside(root, {}, mount_on, std::move(inside));
}

Result<UniqueFd> OpenRoot(const store::RootFs& root, const UpperDirectory& upper,
                          const std::string& mount_on, MountInside inside) {
  return MountAside(root,
                    {.lower = {},
                     .image = {},
                     .upper = upper.upper,
                     .work = upper.work,
                     .is_volatile = upper.is_volatile},
                    mount_on, std::move(inside));
}

Result<UniqueFd> OpenMerged(const store::RootFs& root, const std::string& upper,
                            const std::string& mount_on, MountInside inside) {
  return MountAside(root, {.lower = {upper}, .image = {}, .upper = {}, .work = {}}, mount_on,
                    std::move(inside));
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
