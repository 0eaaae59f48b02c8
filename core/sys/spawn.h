// Starting a program from a process with threads: no code that could take a lock runs between clone
// and execve. Any thread.
#pragma once

#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/process.h"

namespace wherry::sys {

// A descriptor of the caller (borrowed) and its number in the program.
struct FdMapping {
  int from;
  int to;
};

struct SpawnOptions {
  std::string program;            // path given to execve; unused when program_fd is set
  int program_fd = -1;            // execveat(AT_EMPTY_PATH) of this descriptor
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // the whole environment, "NAME=value"
  std::vector<FdMapping>
      fds;             // all other descriptors are closed; 0, 1, 2 not named here become /dev/null
  int cgroup_fd = -1;  // directory of the cgroup the program starts in; -1: the caller's
  bool new_session = true;  // setsid
};

// Returns once execve has succeeded; the error of the step that failed otherwise (nothing is left
// then). Signal dispositions and the mask are the defaults in the program.
Result<Child> Spawn(const SpawnOptions& options);

// An O_PATH descriptor for executing `path` such that a process of that program, seen
// from inside a container through /proc/PID/exe, can never be opened for writing (CVE-2019-5736):
// the file itself where its file system is read-only, a detached read-only mount of it, or a sealed
// copy in memory. Make it once and keep it: give it to SpawnOptions::program_fd for every process
// that will enter a container.
Result<UniqueFd> ProtectedExecutable(const std::string& path);
// The same for the caller's own program.
inline Result<UniqueFd> ProtectedSelfExecutable() {
  return ProtectedExecutable("/proc/self/exe");
}

// Executes the caller's own program again from such a descriptor, for a program whose process
// itself is cloned into containers. Returns without doing anything when it already runs from one or
// lies on a read-only file system, else only with an error.
Result<> ReexecuteProtected(char* const* argv, char* const* env);

}  // namespace wherry::sys
