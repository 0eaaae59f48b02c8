#include "core/shim/init.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/shim/fixed_text.h"

namespace wherry::shim {

namespace {

// A fault is our own; stopping by the terminal is the child's business.
constexpr int kOwnSignals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS};

[[noreturn]] void BecomeCommand(char** command, const sigset_t& mask) {
  // A process group of its own, in the foreground when there is a terminal: what is typed there
  // goes to it and not to us. SIGTTOU is still blocked.
  setpgid(0, 0);
  tcsetpgrp(0, getpgrp());
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execvp(command[0], command);
  int status = errno == ENOENT ? 127 : 126;
  FixedText<512> text;
  text.Add("cannot execute ").Add(command[0]).Add(status == 127 ? ": not found\n" : "\n");
  (void)!write(2, text.data(), text.size());
  _exit(status);
}

// Reaps all that has ended; true when `child` was among them.
bool Reap(pid_t child, int& status) {
  bool ended = false;
  int one = 0;
  for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;) {
    if (pid == child) {
      ended = true;
      status = one;
    }
  }
  return ended;
}

}  // namespace

bool IsInit(const char* program) {
  const char* name = strrchr(program, '/');
  return strcmp(name == nullptr ? program : name + 1, strrchr(kInitPath, '/') + 1) == 0;
}

int RunInit(char** command) {
  // Where the container shares the host's process namespace.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t signals;
  sigset_t before;
  sigfillset(&signals);
  for (int number : kOwnSignals)
    sigdelset(&signals, number);
  sigprocmask(SIG_SETMASK, &signals, &before);
  pid_t child = fork();
  if (child < 0)
    return 126;
  if (child == 0)
    BecomeCommand(command, before);
  for (;;) {
    int number = sigwaitinfo(&signals, nullptr);
    if (number < 0)
      continue;
    if (number != SIGCHLD) {
      kill(child, number);
      continue;
    }
    int status = 0;
    if (Reap(child, status))
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

}  // namespace wherry::shim
