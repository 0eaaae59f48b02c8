// Changing mounts on kernels without mount_setattr (before 5.12): mount(2) on names below procfs.
#pragma once

#include "core/base/result.h"
#include "core/sys/mount.h"

namespace wherry::sys {

// What SetMountAttributes promises, for the attached mount whose root `fd` is; with Recursive::kYes
// also for all that the caller can reach below it. `proc_fd`: the root of a procfs of the caller's
// pid namespace. Changes the working directory. For single-threaded callers.
Result<> Remount(int fd, const MountAttributes& attributes, Recursive recursive, int proc_fd);

}  // namespace wherry::sys
