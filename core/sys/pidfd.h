// Signals by process descriptor. Without library types: also for wherry-shim.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

namespace wherry::sys {

// pidfd_send_signal: 0, or -1 and errno (ESRCH: the process has been reaped).
inline int SendSignal(int pidfd, int signal_number) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0));
}

}  // namespace wherry::sys
