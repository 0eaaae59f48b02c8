// What of the running kernel nothing here has a way around.
#pragma once

#include "core/base/result.h"

namespace wherry::sys {

// kUnsupported, naming the call and the release that brought it, when a system call that containers
// need is missing: the kernel is too old, or a seccomp filter hides the call. There are fallbacks
// for clone3, openat2, close_range, mount_setattr and the file cgroup.kill; exec needs setns by
// pidfd, which is Linux 5.8.
Result<> CheckKernel();

// Its own bits: programs of 32 bits also run on kernels of 64.
bool KernelHas32Bits();

}  // namespace wherry::sys
