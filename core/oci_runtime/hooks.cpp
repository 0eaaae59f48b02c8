#include "core/oci_runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/sys/spawn.h"

namespace wherry::oci_runtime {

namespace {

// Not a pipe: a hook that does not read it must not stop us.
Result<UniqueFd> InMemory(const std::string& text) {
  UniqueFd file(memfd_create("state", MFD_CLOEXEC));
  if (!file)
    return FailSys("memfd_create");
  TRY(WriteAll(file.get(), text, "state"));
  if (lseek(file.get(), 0, SEEK_SET) < 0)
    return FailSys("lseek");
  return file;
}

// Whether it has ended in time.
bool AwaitEnd(int pidfd, const std::optional<uint32_t>& timeout_seconds) {
  constexpr int64_t kMillisecond = 1000000;
  int64_t deadline = Uptime().count() + int64_t{timeout_seconds.value_or(0)} * 1000 * kMillisecond;
  while (true) {
    int64_t left = (deadline - Uptime().count()) / kMillisecond;
    if (timeout_seconds && left <= 0)
      return false;
    pollfd ended{pidfd, POLLIN, 0};
    if (poll(&ended, 1, timeout_seconds ? static_cast<int>(left) : -1) > 0)
      return true;
  }
}

Result<> RunHook(const oci::Hook& hook, int state) {
  sys::SpawnOptions options;
  options.program = hook.path;
  options.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  options.env = hook.env;
  options.fds = {{state, STDIN_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  sys::Child child = TRY(sys::Spawn(options));
  if (!AwaitEnd(child.process().fd(), hook.timeout_seconds)) {
    (void)kill(-child.pid(), SIGKILL);
    return Fail(Errc::kTimeout, Cat("took longer than ", *hook.timeout_seconds, " seconds"));
  }
  sys::ExitStatus status = TRY(child.Release().Wait());
  if (status.signal != 0)
    return Fail(Errc::kInvalid, Cat("was killed by signal ", status.signal));
  if (status.code != 0)
    return Fail(Errc::kInvalid, Cat("exited with status ", status.code));
  return {};
}

}  // namespace

Result<> RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                  const std::string& state_json) {
  for (const oci::Hook& hook : hooks) {
    UniqueFd state = TRY(InMemory(state_json));
    TRY_CTX(Cat("hook ", kind, " ", hook.path), RunHook(hook, state.get()));
  }
  return {};
}

}  // namespace wherry::oci_runtime
