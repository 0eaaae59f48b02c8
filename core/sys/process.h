// Processes by descriptor: clone3, pidfd, namespaces, session keyring, and the small per-process
// switches a container's init needs. For single-threaded callers unless noted.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

// How a process ended.
struct ExitStatus {
  int code = 0;    // of exit(3) when signal is 0
  int signal = 0;  // the signal that killed it, or 0
};

// A process held by pid and pidfd, so that a recycled pid is never signalled. Does not kill in its
// destructor (Child does). Any thread.
class PidFd {
 public:
  PidFd() = default;
  PidFd(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
  // pidfd_open. kNotFound when there is no such process.
  static Result<PidFd> Open(pid_t pid);

  pid_t pid() const { return pid_; }
  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  UniqueFd Release() { return std::move(fd_); }

  // kNotFound when the process has ended.
  Result<> Signal(int signal_number) const;
  // Its descriptor `number` as one of the caller's (Linux 5.6).
  Result<UniqueFd> CopyFd(int number) const;
  // Waits for a child and reaps it. Blocking.
  Result<ExitStatus> Wait() const;
  // As Wait without blocking: nullopt while it runs.
  Result<std::optional<ExitStatus>> TryWait() const;

 private:
  pid_t pid_ = -1;
  UniqueFd fd_;
};

// A child process; killed and reaped by the destructor unless released.
class Child {
 public:
  Child() = default;
  explicit Child(PidFd process) : process_(std::move(process)) {}
  Child(Child&&) noexcept = default;
  Child& operator=(Child&& other) noexcept;
  ~Child() { KillAndReap(); }

  const PidFd& process() const { return process_; }
  pid_t pid() const { return process_.pid(); }
  explicit operator bool() const { return static_cast<bool>(process_); }
  void KillAndReap();
  // Gives up ownership without killing.
  PidFd Release() { return std::move(process_); }

 private:
  PidFd process_;
};

// Field 22 of /proc/PID/stat: clock ticks after boot at which the process started. With the pid it
// names a process for ever.
Result<uint64_t> ProcessStartTime(pid_t pid);

// The result of Clone on each side.
struct Cloned {
  bool in_child = false;
  Child child;  // in the parent
  bool joined_cgroup =
      true;  // false: the kernel has no CLONE_INTO_CGROUP; the parent has to move the child itself
};

// fork(2) with `flags` (CLONE_NEW*, CLONE_VFORK, CLONE_PARENT), pidfd, and directly inside the
// cgroup `cgroup_fd`
// (-1: the caller's). Falls back to clone(2) where clone3 is missing. The child of a process with
// threads may only make system calls.
Result<Cloned> Clone(uint64_t flags, int cgroup_fd);

Result<> Unshare(int namespace_flags);
// Joins the namespace behind the file `path`; kInvalid when it is not of `type` (one CLONE_NEW*
// flag).
Result<> JoinNamespace(const std::string& path, int type);
Result<> JoinNamespace(int fd, int type);

// Joins those of another process's namespaces that `types` names (CLONE_NEW* flags), all or none
// (Linux 5.8). With CLONE_NEWPID only children made later are in it. kNotFound when the process has
// ended.
Result<> JoinNamespacesOf(const PidFd& process, int types);

// All signals to their default and none blocked, in this order: a handler of the caller must not
// run in its child. Only makes system calls.
void ResetSignals();

// A new empty session keyring called `name`. Success where the kernel has no keyrings.
Result<> JoinSessionKeyring(const std::string& name);

// Closes every descriptor that is not among these.
Result<> CloseAllBut(std::vector<int> kept);

// Marks every descriptor from `first` up O_CLOEXEC.
Result<> CloexecFrom(int first);

// Brings the loopback interface of the current network namespace up. Success where the kernel has
// no IPv4.
Result<> BringLoopbackUp();

}  // namespace wherry::sys
