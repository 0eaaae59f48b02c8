// Runs a command some times, one after the other, and prints for each how long it took in ns, how
// much of a processor it took in us, and the largest resident size of any of its processes in kB,
// both as wait4 tells it. A program of its own: the kernel counts the memory of whoever starts the
// command, too.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr int kMostWords = 64;
constexpr int kWordBytes = 256;

long long Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

long Microseconds(const timeval& time) {
  return static_cast<long>(time.tv_sec) * 1000000 + static_cast<long>(time.tv_usec);
}

}  // namespace

// peak COUNT WORD...: "%" in a word becomes a name used once.
int main(int argc, char** argv) {
  static char words[kMostWords][kWordBytes];
  static char* arguments[kMostWords + 1];
  if (argc < 3 || argc - 2 > kMostWords)
    return 2;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd < 2; ++fd)
    posix_spawn_file_actions_adddup2(&actions, null, fd);
  for (int number = 0; number < atoi(argv[1]); ++number) {
    for (int i = 2; i < argc; ++i) {
      const char* mark = strchr(argv[i], '%');
      if (mark == nullptr)
        snprintf(words[i - 2], kWordBytes, "%s", argv[i]);
      else
        snprintf(words[i - 2], kWordBytes, "%.*sb%dx%d%s", static_cast<int>(mark - argv[i]),
                 argv[i], getpid(), number, mark + 1);
      arguments[i - 2] = words[i - 2];
    }
    long long began = Now();
    pid_t pid = 0;
    int status = 0;
    rusage usage{};
    if (posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments, environ) != 0 ||
        wait4(pid, &status, 0, &usage) != pid || status != 0) {
      fprintf(stderr, "%s ended with status %d\n", arguments[0], status);
      return 1;
    }
    printf("%lld %ld %ld\n", Now() - began,
           Microseconds(usage.ru_utime) + Microseconds(usage.ru_stime), usage.ru_maxrss);
  }
  return 0;
}
