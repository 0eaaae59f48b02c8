#include "core/sys/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/pidfd.h"

namespace wherry::sys {

namespace {

constexpr auto kPidFdType = static_cast<idtype_t>(3);  // P_PIDFD
constexpr int kJoinSessionKeyring = 1;                 // KEYCTL_JOIN_SESSION_KEYRING

ExitStatus FromSigInfo(const siginfo_t& info) {
  ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.code = info.si_status;
  } else {
    status.signal = info.si_status;
  }
  return status;
}

// clone(2): stack and tls are not used, the pidfd comes back through the third argument on every
// architecture.
long OldClone(uint64_t namespace_flags, int* pidfd) {
  unsigned long flags = static_cast<unsigned long>(namespace_flags) | CLONE_PIDFD | SIGCHLD;
  return syscall(SYS_clone, flags, nullptr, pidfd, nullptr, nullptr);
}

}  // namespace

Result<PidFd> PidFd::Open(pid_t pid) {
  int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0)
    return FailSys("pidfd_open", Cat(pid));
  return PidFd(pid, UniqueFd(fd));
}

Result<> PidFd::Signal(int signal_number) const {
  if (SendSignal(fd_.get(), signal_number) < 0) {
    return FailSys("pidfd_send_signal", Cat(pid_));
  }
  return {};
}

Result<UniqueFd> PidFd::CopyFd(int number) const {
  UniqueFd copy(static_cast<int>(syscall(SYS_pidfd_getfd, fd_.get(), number, 0)));
  if (!copy)
    return FailSys("pidfd_getfd", Cat(pid_));
  return copy;
}

Result<ExitStatus> PidFd::Wait() const {
  siginfo_t info{};
  while (waitid(kPidFdType, static_cast<id_t>(fd_.get()), &info, WEXITED) < 0) {
    if (errno != EINTR)
      return FailSys("waitid", Cat(pid_));
  }
  return FromSigInfo(info);
}

Result<std::optional<ExitStatus>> PidFd::TryWait() const {
  siginfo_t info{};
  if (waitid(kPidFdType, static_cast<id_t>(fd_.get()), &info, WEXITED | WNOHANG) < 0)
    return FailSys("waitid", Cat(pid_));
  if (info.si_pid == 0)
    return std::optional<ExitStatus>();
  return std::optional<ExitStatus>(FromSigInfo(info));
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    KillAndReap();
    process_ = std::move(other.process_);
  }
  return *this;
}

void Child::KillAndReap() {
  if (!process_)
    return;
  (void)process_.Signal(SIGKILL);
  (void)process_.Wait();
  process_ = PidFd();
}

Result<uint64_t> ProcessStartTime(pid_t pid) {
  std::string path = Cat("/proc/", pid, "/stat");
  std::string text = TRY(ReadFile(path, 4096));
  // The second field is the command in parentheses and may contain anything; what follows the last
  // ')' is field 3.
  std::optional<Pair> rest = SplitLast(text, ')');
  if (!rest)
    return Fail(Errc::kCorrupt, Cat(path, " has no command"));
  std::vector<std::string_view> fields = Split(Trim(rest->tail), ' ');
  if (fields.size() < 20)
    return Fail(Errc::kCorrupt, Cat(path, " is too short"));
  return ParseUint(fields[19]);
}

Result<Cloned> Clone(uint64_t flags, int cgroup_fd) {
  int pidfd = -1;
  struct clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;  // a sibling has the caller's
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup_fd);
  }
  Cloned result;
  long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0 && (errno == ENOSYS || errno == E2BIG)) {
    if ((flags & CLONE_NEWTIME) != 0)
      return Fail(Errc::kUnsupported, "a time namespace needs clone3 (Linux 5.6)");
    result.joined_cgroup = cgroup_fd < 0;
    pid = OldClone(flags, &pidfd);
  }
  if (pid < 0 && (flags & CLONE_NEWUSER) != 0 && (errno == EINVAL || errno == ENOSPC))
    return Fail(Errc::kUnsupported,
                "this kernel gives no user namespaces: it needs CONFIG_USER_NS, and sysctl "
                "user.max_user_namespaces above their number");
  if (pid < 0)
    return FailSys("clone3");
  result.in_child = pid == 0;
  if (pid > 0)
    result.child = Child(PidFd(static_cast<pid_t>(pid), UniqueFd(pidfd)));
  return result;
}

Result<> Unshare(int namespace_flags) {
  if (unshare(namespace_flags) < 0)
    return FailSys("unshare");
  return {};
}

Result<> JoinNamespace(const std::string& path, int type) {
  UniqueFd fd = TRY(Open(path, O_RDONLY));
  int actual = ioctl(fd.get(), NS_GET_NSTYPE);
  if (actual != type)
    return Fail(Errc::kInvalid, Cat(path, " is not a namespace of the wanted type"));
  TRY_CTX(path, JoinNamespace(fd.get(), type));
  return {};
}

Result<> JoinNamespace(int fd, int type) {
  return setns(fd, type) < 0 ? FailSys("setns", "namespace") : Result<>();
}

Result<> JoinNamespacesOf(const PidFd& process, int types) {
  if (setns(process.fd(), types) < 0)
    return FailSys("setns", Cat("process ", process.pid()));
  return {};
}

void ResetSignals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    (void)sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<> JoinSessionKeyring(const std::string& name) {
  if (syscall(SYS_keyctl, kJoinSessionKeyring, name.c_str(), 0, 0, 0) < 0 && errno != ENOSYS) {
    return FailSys("keyctl", Cat("join session keyring ", name));
  }
  return {};
}

// What close_range(2) does, for kernels without it and with procfs at /proc.
void CloseEach(const std::vector<std::string>& names, int64_t first, int64_t last) {
  for (const std::string& name : names) {
    Result<int64_t> fd = ParseInt(name);
    if (fd && *fd >= first && *fd <= last)
      close(static_cast<int>(*fd));
  }
}

Result<> CloseAllBut(std::vector<int> kept) {
  std::ranges::sort(kept);
  Result<std::vector<std::string>> names = std::vector<std::string>();
  if (syscall(SYS_close_range, ~0U, ~0U, 0) < 0)
    names = TRY(ListDir("/proc/self/fd"));
  int64_t first = 0;
  kept.push_back(INT_MAX);
  for (int64_t fd : kept) {
    if (fd > first && syscall(SYS_close_range, static_cast<unsigned int>(first),
                              static_cast<unsigned int>(fd - 1), 0) < 0)
      CloseEach(*names, first, fd - 1);
    first = std::max(first, fd + 1);
  }
  return {};
}

Result<> CloexecFrom(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned int>(first), ~0U, CLOSE_RANGE_CLOEXEC) == 0)
    return {};
  if (errno != ENOSYS && errno != EINVAL)
    return FailSys("close_range");
  // 5.9 and 5.10 lack the flag; the list comes from procfs there.
  std::vector<std::string> names = TRY(ListDir("/proc/self/fd"));
  for (const std::string& name : names) {
    Result<int64_t> fd = ParseInt(name);
    if (fd && *fd >= first)
      (void)fcntl(static_cast<int>(*fd), F_SETFD, FD_CLOEXEC);
  }
  return {};
}

Result<> BringLoopbackUp() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd && errno == EAFNOSUPPORT)
    return {};
  if (!fd)
    return FailSys("socket", "loopback");
  struct ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) < 0)
    return FailSys("ioctl", "bring lo up");
  return {};
}

}  // namespace wherry::sys
