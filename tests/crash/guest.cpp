// What a power-cut campaign needs inside the virtual machine.
//   crash-guest mark DEVICE OFFSET TEXT   writes TEXT into one sector past the caches, without a
//   flush:
//                                         it stands in the log of writes and makes nothing durable
//   crash-guest nosync CMD [ARG...]       runs CMD with fsync, fdatasync, syncfs and sync doing
//   nothing
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr size_t kSector = 4096;
alignas(kSector) char sector[kSector];

int Mark(const char* device, const char* offset, const char* text) {
  strncpy(sector, text, kSector - 1);
  int fd = open(device, O_WRONLY | O_DIRECT);
  if (fd < 0 ||
      pwrite(fd, sector, kSector, strtoll(offset, nullptr, 10)) != static_cast<ssize_t>(kSector)) {
    perror(device);
    return 1;
  }
  return 0;
}

int NoSync(char** command) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsync, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_syncfs, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sync, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),  // error 0: the call returns success
  };
  sock_fprog program = {sizeof code / sizeof code[0], code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("seccomp");
    return 1;
  }
  execvp(command[0], command);
  perror(command[0]);
  return 127;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && strcmp(argv[1], "mark") == 0)
    return Mark(argv[2], argv[3], argv[4]);
  if (argc > 2 && strcmp(argv[1], "nosync") == 0)
    return NoSync(argv + 2);
  return 2;
}
