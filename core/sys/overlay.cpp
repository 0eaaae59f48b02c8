// MountOverlay. Directories are opened first and named by their descriptor numbers relative to
// /proc/self/fd: names stay short (500 layers fit the page mount(2) takes), need no escaping, and
// reveal no host path in the container's mountinfo.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount.h"

namespace wherry::sys {

bool OldMountApi();

namespace {

struct Layers {
  std::vector<UniqueFd> lower;
  std::vector<UniqueFd> data;  // only for images
  UniqueFd upper;
  UniqueFd work;
};

// The directory `path`, mapped where there is a user namespace: a mount over itself, because
// overlayfs takes the mapping of the mount that a layer lies on.
Result<UniqueFd> OpenLayer(const std::string& path, int user_namespace) {
  UniqueFd fd = TRY(Open(path, O_PATH | O_DIRECTORY));
  if (user_namespace < 0)
    return fd;
  UniqueFd mapped = TRY(CloneTree(fd.get(), "", Recursive::kNo));
  TRY_CTX(path, MapMountIds(mapped.get(), user_namespace, Recursive::kNo));
  TRY(AttachMount(mapped.get(), fd.get()));
  return mapped;
}

Result<> OpenUpper(const OverlayOptions& options, int user_namespace, Layers& layers) {
  PathParts upper = SplitPath(options.upper);
  PathParts work = SplitPath(options.work);
  if (user_namespace < 0) {
    layers.upper = TRY(Open(options.upper, O_PATH | O_DIRECTORY));
    layers.work = TRY(Open(options.work, O_PATH | O_DIRECTORY));
    return {};
  }
  if (upper.dir != work.dir)
    return Fail(Errc::kInvalid, "upper and work of an overlay with mapped ids are not neighbours");
  UniqueFd both = TRY(OpenLayer(upper.dir, user_namespace));
  layers.upper = TRY(OpenAt(both.get(), upper.name, O_PATH | O_DIRECTORY));
  layers.work = TRY(OpenAt(both.get(), work.name, O_PATH | O_DIRECTORY));
  return {};
}

Result<Layers> OpenLayers(const OverlayOptions& options, int user_namespace) {
  Layers layers;
  if ((options.lower.empty() && !options.image) || options.lower.size() > 500) {
    return Fail(Errc::kInvalid,
                Cat("an overlay takes 1 to 500 lower directories, not ", options.lower.size()));
  }
  for (const std::string& path : options.lower) {
    UniqueFd fd = TRY(OpenLayer(path, user_namespace));
    layers.lower.push_back(std::move(fd));
  }
  if (options.image) {
    if (user_namespace >= 0)
      TRY_CTX("metadata image", MapMountIds(options.image->mount, user_namespace, Recursive::kNo));
    UniqueFd fd = TRY(OpenAt(options.image->mount, ".", O_PATH | O_DIRECTORY));
    layers.lower.push_back(std::move(fd));
    for (const std::string& path : options.image->data_dirs)
      layers.data.push_back(TRY(Open(path, O_PATH | O_DIRECTORY)));
  }
  if (!options.upper.empty()) {
    TRY(OpenUpper(options, user_namespace, layers));
    // The mark of an earlier volatile mount forbids using the directory again; here losing the data
    // was agreed to.
    if (options.is_volatile)
      TRY(RemoveTreeAt(layers.work.get(), "work"));
  } else if (!options.image && options.lower.size() == 1) {
    return Fail(Errc::kInvalid, "a read-only overlay needs at least two lower directories");
  }
  return layers;
}

// Whether fsconfig takes layers one by one. Asked of the version, because before 6.5 overlayfs went
// through the legacy context, which accepts any option and fails only in the end.
bool KernelAddsLayers() {
  struct utsname name{};
  if (OldMountApi() || uname(&name) < 0)
    return false;
  unsigned int major = 0;
  unsigned int minor = 0;
  const char* end = name.release + strnlen(name.release, sizeof(name.release));
  auto first = std::from_chars(name.release, end, major);
  if (first.ptr < end)
    std::from_chars(first.ptr + 1, end, minor);
  return major > 6 || (major == 6 && minor >= 7);
}

Result<UniqueFd> MountByContext(const Layers& layers, const OverlayOptions& options) {
  FsContext context = TRY(FsContext::Open("overlay"));
  TRY(context.SetString("source", "overlay"));
  for (const UniqueFd& fd : layers.lower)
    TRY(context.SetString("lowerdir+", Cat(fd.get())));
  for (const UniqueFd& fd : layers.data)
    TRY(context.SetString(options.image->data_only ? "datadir+" : "lowerdir+", Cat(fd.get())));
  if (layers.upper) {
    TRY(context.SetString("upperdir", Cat(layers.upper.get())));
    TRY(context.SetString("workdir", Cat(layers.work.get())));
    if (options.is_volatile)
      TRY(context.SetFlag("volatile"));
  }
  TRY(context.SetString("index", "off"));
  TRY(context.SetString("redirect_dir", "on"));
  TRY(context.SetString("metacopy", "on"));
  return context.Mount(0);
}

Result<> MountClassic(const Layers& layers, const OverlayOptions& options, int target_fd) {
  std::string data = "index=off,redirect_dir=on,metacopy=on,lowerdir=";
  for (const UniqueFd& fd : layers.lower)
    Append(data, fd.get(), ":");
  data.pop_back();
  for (const UniqueFd& fd : layers.data)
    Append(data, options.image->data_only ? "::" : ":", fd.get());
  if (layers.upper)
    Append(data, ",upperdir=", layers.upper.get(), ",workdir=", layers.work.get());
  if (options.is_volatile)
    data += ",volatile";
  if (data.size() >= 4096)
    return Fail(Errc::kInvalid, "the overlay has too many lower directories for this kernel");
  if (mount("overlay", Cat(target_fd).c_str(), "overlay", 0, data.c_str()) < 0)
    return FailSys("mount", "overlay");
  return {};
}

// The root of the mount stacked on the directory behind `target_fd`, found through its parent.
Result<UniqueFd> OpenMountedOn(int target_fd) {
  std::string link(4096, '\0');
  ssize_t n = readlink(Cat(target_fd).c_str(), link.data(), link.size());
  if (n <= 0)
    return FailSys("readlink", "overlay target");
  link.resize(static_cast<size_t>(n));
  return Open(link, O_PATH | O_DIRECTORY);
}

}  // namespace

Result<UniqueFd> MountOverlay(const OverlayOptions& options, int target_fd, int user_namespace) {
  Layers layers = TRY(OpenLayers(options, user_namespace));
  // Before Linux 6.15 overlayfs takes layers of this mount namespace only.
  if (options.image)
    TRY(AttachMount(options.image->mount, target_fd));
  if (chdir("/proc/self/fd") < 0)
    return FailSys("chdir", "/proc/self/fd");
  if (KernelAddsLayers()) {
    UniqueFd root = TRY(MountByContext(layers, options));
    TRY(AttachMount(root.get(), target_fd));
    return root;
  }
  TRY(MountClassic(layers, options, target_fd));
  return OpenMountedOn(target_fd);
}

}  // namespace wherry::sys
