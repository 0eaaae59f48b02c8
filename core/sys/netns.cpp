#include "core/sys/netns.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

namespace wherry::sys {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStackBytes = 2 << 20;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif

struct Job {
  std::move_only_function<Result<>()> work;
  Result<> result;
};

void* Work(void* argument) {
  Job& job = *static_cast<Job*>(argument);
  job.result = job.work();
  return nullptr;
}

// Calls `work` on a thread of its own and waits for it.
Result<> OnThread(std::move_only_function<Result<>()> work) {
  Job job{std::move(work), {}};
  sigset_t blocked;
  sigset_t previous;
  sigfillset(&blocked);  // signals belong to the caller's threads
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) {
    sigdelset(&blocked, fault);
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_sigmask(SIG_SETMASK, &blocked, &previous);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, &Work, &job);
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0)
    return std::unexpected(Error::Sys(error, "pthread_create"));
  pthread_join(thread, nullptr);
  return std::move(job.result);
}

}  // namespace

Result<> InNetns(int netns, std::move_only_function<Result<>()> work) {
  if (netns == kOwnNetns)
    return work();
  return OnThread([netns, &work]() -> Result<> {
    if (setns(netns, CLONE_NEWNET) != 0)
      return FailSys("setns", "network namespace");
    return work();
  });
}

Result<UniqueFd> NewNetns() {
  UniqueFd made;
  TRY(OnThread([&]() -> Result<> {
    if (unshare(CLONE_NEWNET) != 0)
      return FailSys("unshare", "network namespace");
    made = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!made)
      return FailSys("open", "/proc/thread-self/ns/net");
    return {};
  }));
  return made;
}

Result<UniqueFd> SocketIn(int netns, int domain, int type, int protocol) {
  UniqueFd made;
  TRY(InNetns(netns, [&]() -> Result<> {
    made = UniqueFd(socket(domain, type | SOCK_CLOEXEC, protocol));
    if (!made)
      return FailSys("socket");
    return {};
  }));
  return made;
}

}  // namespace wherry::sys
