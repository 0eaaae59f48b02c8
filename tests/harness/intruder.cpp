// A hostile program of a container, for tests/system/test_attacks.py.
//
//   intruder exe SECONDS            takes hold of the programs of processes that come, and writes
//   to them when they ended intruder peek SECONDS NAME      opens NAME by the root, directory and
//   descriptors of processes that come intruder swap A B               exchanges two names until it
//   is killed intruder calls                  which of the calls that have been used against
//   kernels are allowed
//
// exe and peek say how many processes they met, so that an attack that met none is seen to be none.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

namespace {

constexpr int kPids = 1 << 16;
bool g_met[kPids];

double Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Calls `meet` with each process that was not there at the beginning, as often as it can.
template <class Meet>
void Watch(const char* seconds, Meet meet) {
  bool known[kPids] = {};
  bool first = true;
  for (double end = Now() + atof(seconds); Now() < end; first = false) {
    DIR* proc = opendir("/proc");
    while (dirent* entry = readdir(proc)) {
      int pid = atoi(entry->d_name);
      if (pid <= 0 || pid >= kPids || pid == getpid())
        continue;
      if (first)
        known[pid] = true;
      if (known[pid])
        continue;
      g_met[pid] = true;
      meet(pid);
    }
    closedir(proc);
  }
}

int CountMet() {
  int count = 0;
  for (bool met : g_met)
    count += met;
  return count;
}

int OverwritePrograms(const char* seconds) {
  constexpr int kHeld = 256;
  int held[kHeld];
  int count = 0;
  bool taken[kPids] = {};
  Watch(seconds, [&](int pid) {
    if (taken[pid] || count == kHeld)
      return;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
      return;
    taken[pid] = true;
    held[count++] = fd;
  });
  int wrote = 0;
  for (int i = 0; i < count; ++i) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", held[i]);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
      continue;
    char target[512] = {};
    readlink(path, target, sizeof(target) - 1);
    ++wrote;
    printf("can write %s\n", target);
  }
  printf("met %d held %d wrote %d\n", CountMet(), count, wrote);
  return 0;
}

int Peek(const char* seconds, const char* name) {
  while (*name == '/')
    ++name;
  int reached = 0;
  int traced = 0;
  auto try_below = [&](const char* directory) {
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
      return;
    close(fd);
    ++reached;
    printf("reached %s\n", path);
  };
  Watch(seconds, [&](int pid) {
    char path[64];
    for (const char* link : {"root", "cwd"}) {
      snprintf(path, sizeof(path), "/proc/%d/%s", pid, link);
      try_below(path);
    }
    for (int fd = 0; fd < 32; ++fd) {
      snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
      try_below(path);
    }
    // Who may trace a process before it has become the container's may do anything in its name.
    char own[256] = {};
    char other[256] = {};
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
    readlink("/proc/self/ns/mnt", own, sizeof(own) - 1);
    if (readlink(path, other, sizeof(other) - 1) > 0 && strcmp(own, other) != 0) {
      ++traced;
      printf("saw another mount namespace in %d\n", pid);
    }
  });
  printf("met %d reached %d traced %d\n", CountMet(), reached, traced);
  return 0;
}

int Swap(const char* a, const char* b) {
  while (true)
    syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2U /* RENAME_EXCHANGE */);
}

void Report(const char* name, long result) {
  // Allowed is also what fails only because of its arguments.
  bool refused = result < 0 && (errno == EPERM || errno == ENOSYS || errno == EACCES);
  printf("%s %s\n", name, refused ? "refused" : "allowed");
}

int TryCalls() {
  Report("add_key", syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_SESSION_KEYRING));
  Report("bpf", syscall(SYS_bpf, 0, nullptr, 0));
  Report("fsopen", syscall(SYS_fsopen, "ext4", 0));
  Report("io_uring_setup", syscall(SYS_io_uring_setup, 1, nullptr));
  Report("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
  Report("mount_setattr", syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0));
  Report("move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0));
  Report("open_tree", syscall(SYS_open_tree, -1, "/", 1));
  Report("perf_event_open", syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0));
  Report("unshare-user", unshare(CLONE_NEWUSER));
  Report("userfaultfd", syscall(SYS_userfaultfd, 0));
  Report("vsock", socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "exe") == 0 && argc == 3)
    return OverwritePrograms(argv[2]);
  if (strcmp(what, "peek") == 0 && argc == 4)
    return Peek(argv[2], argv[3]);
  if (strcmp(what, "swap") == 0 && argc == 4)
    return Swap(argv[2], argv[3]);
  if (strcmp(what, "calls") == 0)
    return TryCalls();
  fprintf(stderr, "intruder: see the top of tests/harness/intruder.cpp\n");
  return 99;
}
