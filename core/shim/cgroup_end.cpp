#include "core/shim/cgroup_end.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/shim/fixed_text.h"

namespace wherry::shim {

namespace {

using Path = FixedText<512>;

// Reads the beginning of a file below `dir`; the number of bytes, 0 on any error. Terminated.
size_t ReadSmall(int dir, const char* name, char* buffer, size_t capacity) {
  int file = openat(dir, name, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? 0 : read(file, buffer, capacity - 1);
  if (file >= 0)
    close(file);
  size_t size = count > 0 ? static_cast<size_t>(count) : 0;
  buffer[size] = '\0';
  return size;
}

// Sends SIGKILL to each process listed, a few times over: new ones may have been forked meanwhile.
void KillListed(int cgroup) {
  constexpr int kRounds = 10;
  char list[2048];
  for (int round = 0; round < kRounds; ++round) {
    size_t size = ReadSmall(cgroup, "cgroup.procs", list, sizeof list);
    if (size == 0)
      return;
    pid_t pid = 0;
    for (size_t i = 0; i < size; ++i) {
      if (list[i] >= '0' && list[i] <= '9') {
        pid = pid * 10 + (list[i] - '0');
      } else {
        if (pid > 1)
          kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
}

// Appends the name of the first cgroup below `path` to it.
bool Descend(Path& path) {
  struct Entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[1];
  };
  alignas(Entry) char entries[1024];
  int dir = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0)
    return false;
  bool found = false;
  long size;
  while (!found && (size = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0) {
    for (long at = 0; at < size && !found;) {
      const Entry* entry = reinterpret_cast<const Entry*>(entries + at);
      at += entry->length;
      if (entry->type != DT_DIR || entry->name[0] == '.')
        continue;
      path.Add("/").Add(entry->name);
      found = true;
    }
  }
  close(dir);
  return found;
}

}  // namespace

bool OomKilled(int cgroup) {
  char events[512];
  if (ReadSmall(cgroup, "memory.events", events, sizeof events) == 0)
    return false;
  constexpr char kKey[] = "\noom_kill ";  // never the first line
  constexpr size_t kKeySize = sizeof kKey - 1;
  for (const char* at = events; (at = strchr(at, '\n')) != nullptr; ++at) {
    if (strncmp(at, kKey, kKeySize) == 0)
      return at[kKeySize] != '0';
  }
  return false;
}

void KillAll(int cgroup) {
  int file = openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    KillListed(cgroup);
    return;
  }
  (void)!write(file, "1", 1);
  close(file);
}

void RemoveCgroup(int cgroup) {
  constexpr int kAttempts = 200;
  constexpr timespec kPause = {0, 5000000};
  Path link;
  link.Add("/proc/self/fd/").AddNumber(static_cast<uint64_t>(cgroup));
  char target[256];
  ssize_t length = readlink(link.c_str(), target, sizeof target);
  if (length <= 0 || length == sizeof target)
    return;
  Path path;
  path.Add(target, static_cast<size_t>(length));
  auto root = path.size();
  for (int busy = 0; busy < kAttempts;) {
    while (Descend(path)) {
    }
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) {
      if (path.size() == root)
        return;
    } else if (errno == EBUSY) {
      // A killed process that has not quite gone.
      ++busy;
      nanosleep(&kPause, nullptr);
    } else {
      return;
    }
    path.Truncate(root);
  }
}

}  // namespace wherry::shim
