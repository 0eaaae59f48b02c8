// Runs a program, and all that it starts, on a kernel that seems to lack some system calls.
//
//   old_kernel CALL[,CALL...] PROGRAM [ARG...]
//
// A call answers ENOSYS from then on. "cgroup.kill" is no call: opening a file of that name answers
// ENOENT. A filter cannot read names, so a process aside decides; it goes with the last filtered
// one.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

#ifdef __x86_64__
constexpr uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__arm__)
constexpr uint32_t kArch = AUDIT_ARCH_ARM;
#else
constexpr uint32_t kArch = AUDIT_ARCH_AARCH64;
#endif
constexpr char kKillFile[] = "cgroup.kill";

struct Call {
  const char* name;
  uint32_t number;
};
constexpr Call kCalls[] = {
    {"clone3", SYS_clone3},
    {"close_range", SYS_close_range},
    {"execveat", SYS_execveat},
    {"fsconfig", SYS_fsconfig},
    {"fsmount", SYS_fsmount},
    {"fsopen", SYS_fsopen},
    {"mount_setattr", SYS_mount_setattr},
    {"move_mount", SYS_move_mount},
    {"open_tree", SYS_open_tree},
    {"openat2", SYS_openat2},
    {"pidfd_open", SYS_pidfd_open},
    {"pidfd_send_signal", SYS_pidfd_send_signal},
    {"quotactl_fd", 443},  // newer than some headers
    {"statx", SYS_statx},
};

[[noreturn]] void Die(const char* what) {
  perror(what);
  exit(99);
}

uint32_t NumberOf(const char* name) {
  for (const Call& call : kCalls) {
    if (strcmp(call.name, name) == 0)
      return call.number;
  }
  fprintf(stderr, "old_kernel: unknown call %s\n", name);
  exit(99);
}

// Whether the file a call opens has the name that is to be missing.
bool OpensKillFile(const seccomp_notif& request) {
  char path[512] = {};
  iovec local{path, sizeof(path) - 1};
  iovec remote{reinterpret_cast<void*>(request.data.args[1]), sizeof(path) - 1};
  ssize_t got = process_vm_readv(static_cast<pid_t>(request.pid), &local, 1, &remote, 1, 0);
  // The string may end before memory does: then up to the page's end.
  if (got < 0) {
    remote.iov_len = 4096 - request.data.args[1] % 4096;
    if (remote.iov_len > sizeof(path) - 1)
      remote.iov_len = sizeof(path) - 1;
    got = process_vm_readv(static_cast<pid_t>(request.pid), &local, 1, &remote, 1, 0);
  }
  const char* slash = strrchr(path, '/');
  return got > 0 && strcmp(slash != nullptr ? slash + 1 : path, kKillFile) == 0;
}

[[noreturn]] void Decide(int listener) {
  for (int fd = 0; fd < 1024; ++fd) {
    if (fd != listener)
      close(fd);
  }
  while (true) {
    pollfd events{listener, POLLIN, 0};
    if (poll(&events, 1, -1) < 0 && errno != EINTR)
      _exit(1);
    if ((events.revents & POLLHUP) != 0)
      _exit(0);
    seccomp_notif request{};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
      continue;  // the caller was killed meanwhile
    seccomp_notif_resp answer{};
    answer.id = request.id;
    if (OpensKillFile(request))
      answer.error = -ENOENT;
    else
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

// The process aside: a grandchild, so that nobody waits for it. Returns the socket it takes the
// listener from.
int StartDecider() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    Die("socketpair");
  pid_t child = fork();
  if (child != 0) {
    waitpid(child, nullptr, 0);
    close(ends[1]);
    return ends[0];
  }
  setsid();
  if (fork() != 0)
    _exit(0);
  char byte;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (recvmsg(ends[1], &message, 0) <= 0 || CMSG_FIRSTHDR(&message) == nullptr)
    _exit(1);
  int listener;
  memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
  Decide(listener);
}

void SendListener(int socket, int listener) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &listener, sizeof(int));
  if (sendmsg(socket, &message, 0) < 0)
    Die("sendmsg");
  close(listener);
  close(socket);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: old_kernel CALL[,CALL...] PROGRAM [ARG...]\n");
    return 99;
  }
  sock_filter code[2 * (sizeof(kCalls) / sizeof(kCalls[0]) + 1) + 5] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArch, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  unsigned short length = 4;
  bool hides_file = false;
  for (char* name = strtok(argv[1], ","); name != nullptr; name = strtok(nullptr, ",")) {
    bool file = strcmp(name, kKillFile) == 0;
    hides_file = hides_file || file;
    code[length++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, file ? SYS_openat : NumberOf(name), 0, 1);
    code[length++] =
        BPF_STMT(BPF_RET | BPF_K, file ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ERRNO | ENOSYS);
  }
  code[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog program{length, code};
  int socket = hides_file ? StartDecider() : -1;
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                          hides_file ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0UL, &program);
  if (listener < 0)
    Die("seccomp");
  if (hides_file)
    SendListener(socket, static_cast<int>(listener));
  execvp(argv[2], argv + 2);
  Die(argv[2]);
}
