#include "core/sys/kernel.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "core/base/text.h"

namespace wherry::sys {

namespace {

struct NeededCall {
  std::string_view name;
  std::string_view since;
  long number;
};
constexpr NeededCall kNeeded[] = {
    {"execveat", "3.19", SYS_execveat},  {"pidfd_send_signal", "5.1", SYS_pidfd_send_signal},
    {"fsopen", "5.2", SYS_fsopen},       {"fsconfig", "5.2", SYS_fsconfig},
    {"fsmount", "5.2", SYS_fsmount},     {"move_mount", "5.2", SYS_move_mount},
    {"open_tree", "5.2", SYS_open_tree}, {"pidfd_open", "5.3", SYS_pidfd_open},
};

}  // namespace

Result<> CheckKernel() {
  for (const NeededCall& call : kNeeded) {
    // Flags and descriptors that no kernel takes: nothing can come of it but an error.
    if (syscall(call.number, -1L, -1L, -1L, -1L, -1L) >= 0 || errno != ENOSYS)
      continue;
    return Fail(Errc::kUnsupported, Cat("the system call ", call.name,
                                        " is missing: wherry needs Linux 5.8 (this call came "
                                        "with ",
                                        call.since, "), and no seccomp filter that hides it"));
  }
  return {};
}

bool KernelHas32Bits() {
  if constexpr (sizeof(long) == 8)
    return false;
  utsname name{};
  uname(&name);
  std::string_view machine = name.machine;
  // armv8l is what a kernel of 64 bits calls itself to programs that ask for one of 32.
  return machine.find("64") == machine.npos && machine != "armv8l";
}

}  // namespace wherry::sys
