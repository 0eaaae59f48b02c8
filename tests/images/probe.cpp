// Looks at its surroundings from inside a container, and misbehaves on request.
//
//   probe fds                 every open descriptor with what it refers to
//   probe keyring             what the session keyring is and whether a key of the host is found
//   probe syscalls            what happens on system calls a container should not use
//   probe eat MB              takes that much memory, then says so
//   probe fork N              tries to have N sleeping children, says how many it got
//   probe spin MS             runs two busy processes, says processor and elapsed milliseconds
//   probe lines N USEC [TEXT] prints N numbered lines with a pause between them
//   probe ignore-term         ignores SIGTERM and waits
//   probe exit-on-term N      ends with status N when SIGTERM comes
//   probe lock FILE           locks the file until SIGUSR1 comes, and stays

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

int64_t Milliseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

int ListDescriptors(int, char**) {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr)
    return 1;
  while (dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(directory))
      continue;
    char target[512] = {};
    readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
    printf("%s %s\n", entry->d_name, target);
  }
  return 0;
}

int ShowKeyring(int, char**) {
  char text[256] = {};
  if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof(text) - 1) < 0)
    printf("session: error %s\n", strerror(errno));
  else
    printf("session: %s\n", text);
  const long key = syscall(SYS_request_key, "user", "wherry-test-secret", nullptr, 0);
  printf("host key: %s\n", key >= 0 ? "found" : strerror(errno));
  return 0;
}

void Report(const char* name, long result) {
  printf("%s %s\n", name, result >= 0 ? "allowed" : strerrorname_np(errno));
}

int TrySystemCalls(int, char**) {
  Report("mount", mount("none", "/tmp", "tmpfs", 0, nullptr));
  Report("umount", umount2("/proc", MNT_DETACH));
  Report("unshare-user", unshare(CLONE_NEWUSER));
  Report("unshare-mount", unshare(CLONE_NEWNS));
  Report("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
  Report("bpf", syscall(SYS_bpf, 0, nullptr, 0));
  Report("reboot", syscall(SYS_reboot, 0, 0, 0, nullptr));
  Report("kexec", syscall(SYS_kexec_load, 0, 0, nullptr, 0));
  Report("init-module", syscall(SYS_init_module, nullptr, 0, ""));
  Report("open-by-handle", syscall(SYS_open_by_handle_at, -1, nullptr, 0));
  Report("settime", syscall(SYS_clock_settime, CLOCK_REALTIME, nullptr));
  Report("mknod-disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)));
  Report("open-disk", open("/tmp/disk", O_RDONLY));
  Report("write-sysrq", open("/proc/sysrq-trigger", O_WRONLY));
  Report("write-core-pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
  Report("read-kcore", open("/proc/kcore", O_RDONLY));
  Report("write-sysfs", open("/sys/kernel/uevent_helper", O_WRONLY));
  return 0;
}

int EatMemory(int argc, char** argv) {
  const size_t megabytes = argc > 2 ? strtoul(argv[2], nullptr, 10) : 1;
  for (size_t i = 0; i < megabytes; i++) {
    char* block = static_cast<char*>(malloc(1 << 20));
    if (block == nullptr)
      return 1;
    memset(block, static_cast<int>(i) + 1, 1 << 20);
  }
  printf("took %zu MB\n", megabytes);
  return 0;
}

int ForkMany(int argc, char** argv) {
  const int wanted = argc > 2 ? atoi(argv[2]) : 1;
  int got = 0;
  for (; got < wanted; got++) {
    const pid_t pid = fork();
    if (pid < 0)
      break;
    if (pid == 0) {
      pause();
      _exit(0);
    }
  }
  printf("children %d of %d, then %s\n", got, wanted,
         got < wanted ? strerrorname_np(errno) : "done");
  fflush(stdout);
  kill(0, SIGKILL);
  return 0;
}

int Spin(int argc, char** argv) {
  const int64_t duration = argc > 2 ? atoi(argv[2]) : 1000;
  const int64_t start = Milliseconds(CLOCK_MONOTONIC);
  for (int i = 0; i < 2; i++) {
    if (fork() != 0)
      continue;
    while (Milliseconds(CLOCK_MONOTONIC) - start < duration) {
    }
    _exit(0);
  }
  while (wait(nullptr) > 0) {
  }
  tms used;
  times(&used);
  const int64_t cpu = int64_t{used.tms_cutime + used.tms_cstime} * 1000 / sysconf(_SC_CLK_TCK);
  printf("%lld %lld\n", static_cast<long long>(cpu),
         static_cast<long long>(Milliseconds(CLOCK_MONOTONIC) - start));
  return 0;
}

int PrintLines(int argc, char** argv) {
  const int count = argc > 2 ? atoi(argv[2]) : 10;
  const unsigned pause_us = argc > 3 ? static_cast<unsigned>(atoi(argv[3])) : 0;
  const char* text = argc > 4 ? argv[4] : "of the log";
  for (int i = 1; i <= count; i++) {
    char line[4096];
    const int size = snprintf(line, sizeof(line), "line %08d %s\n", i, text);
    if (write(1, line, static_cast<size_t>(size)) != size)
      return 1;
    if (pause_us > 0)
      usleep(pause_us);
  }
  return 0;
}

int IgnoreTerm(int, char**) {
  signal(SIGTERM, SIG_IGN);
  puts("ignoring");
  fflush(stdout);
  for (;;)
    pause();
}

int g_status = 0;

int ExitOnTerm(int argc, char** argv) {
  g_status = argc > 2 ? atoi(argv[2]) : 0;
  signal(SIGTERM, [](int) { _exit(g_status); });
  puts("ready");
  fflush(stdout);
  for (;;)
    pause();
}

int g_locked = -1;

int LockFile(int argc, char** argv) {
  g_locked = open(argc > 2 ? argv[2] : "/lock", O_RDWR | O_CREAT, 0600);
  if (g_locked < 0 || flock(g_locked, LOCK_EX) < 0)
    return 1;
  signal(SIGUSR1, [](int) { flock(g_locked, LOCK_UN); });
  puts("locked");
  fflush(stdout);
  for (;;)
    pause();
}

struct Command {
  const char* name;
  int (*run)(int argc, char** argv);
};

constexpr Command kCommands[] = {
    {"fds", ListDescriptors}, {"keyring", ShowKeyring},    {"syscalls", TrySystemCalls},
    {"eat", EatMemory},       {"fork", ForkMany},          {"spin", Spin},
    {"lines", PrintLines},    {"ignore-term", IgnoreTerm}, {"exit-on-term", ExitOnTerm},
    {"lock", LockFile},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Command& command : kCommands) {
    if (argc > 1 && strcmp(argv[1], command.name) == 0)
      return command.run(argc, argv);
  }
  fprintf(stderr, "probe: no such command\n");
  return 2;
}
