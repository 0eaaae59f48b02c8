// MountErofsImage.
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"

namespace wherry::sys {

namespace {

Result<UniqueFd> MountFrom(const std::string& source) {
  FsContext context = TRY(FsContext::Open("erofs"));
  TRY(context.SetString("source", source));
  TRY(context.SetFlag("ro"));
  return context.Mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
}

// LOOP_CONFIGURE is one step since 5.8; before, the device exists for a moment without its flags.
bool Configure(int loop, int file) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(file);
  config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  if (ioctl(loop, static_cast<int>(LOOP_CONFIGURE), &config) == 0)
    return true;
  if (errno != EINVAL && errno != ENOTTY)
    return false;
  return ioctl(loop, static_cast<int>(LOOP_SET_FD), file) == 0 &&
         ioctl(loop, static_cast<int>(LOOP_SET_STATUS64), &config.info) == 0;
}

// A free loop device over the file. It goes away when the descriptor and its mounts are closed.
Result<UniqueFd> AttachLoop(int file, std::string& device) {
  UniqueFd control = TRY(Open("/dev/loop-control", O_RDWR));
  constexpr int kAttempts = 64;  // others look for free devices too
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    int number = ioctl(control.get(), static_cast<int>(LOOP_CTL_GET_FREE));
    if (number < 0)
      return FailSys("find a free loop device");
    device = Cat("/dev/loop", number);
    UniqueFd loop = TRY(Open(device, O_RDONLY));
    if (Configure(loop.get(), file))
      return loop;
    if (errno != EBUSY)
      return FailSys("attach a loop device", device);
  }
  return Fail(Errc::kBusy, "no loop device stayed free long enough");
}

}  // namespace

Result<UniqueFd> MountErofsImage(const std::string& path) {
  UniqueFd file = TRY(Open(path, O_RDONLY));
  auto mounted = MountFrom(Cat("/proc/self/fd/", file.get()));
  if (mounted || mounted.error().error_number() != ENOTBLK)
    return mounted;
  std::string device;
  UniqueFd loop = TRY(AttachLoop(file.get(), device));
  return MountFrom(device);
}

}  // namespace wherry::sys
