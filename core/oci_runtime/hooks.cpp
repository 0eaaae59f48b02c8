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

std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry)
    entries.emplace_back(*entry);
  return entries;
}

Result<> RunHook(const oci::Hook& hook, std::string_view kind, const std::string& state_json,
                 const std::vector<std::string>* environment) {
  UniqueFd state = TRY(InMemory(state_json));
  sys::SpawnOptions options;
  options.program = hook.path;
  options.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  if (hook.env)
    options.env = *hook.env;
  else
    options.env = environment != nullptr ? *environment : OwnEnvironment();
  options.fds = {{state.get(), STDIN_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  sys::Child child = TRY(sys::Spawn(options));
  if (!AwaitEnd(child.process().fd(), hook.timeout_seconds)) {
    (void)kill(-child.pid(), SIGKILL);
    return Fail(Errc::kTimeout,
                Cat(kind, " hook took longer than ", *hook.timeout_seconds, " seconds"));
  }
  sys::ExitStatus status = TRY(child.Release().Wait());
  if (status.signal != 0)
    return Fail(Errc::kInvalid, Cat(kind, " hook was killed by signal ", status.signal));
  if (status.code != 0)
    return Fail(Errc::kInvalid, Cat(kind, " hook failed with exit code ", status.code));
  return {};
}

// What runc says in front.
std::string Place(std::string_view kind, size_t index, const oci::Hook& hook) {
  return Cat("error running ", kind, " hook #", index, ": ", hook.path);
}

}  // namespace

Result<> RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                  const std::string& state_json, const std::vector<std::string>* environment) {
  for (size_t i = 0; i < hooks.size(); ++i)
    TRY_CTX(Place(kind, i, hooks[i]), RunHook(hooks[i], kind, state_json, environment));
  return {};
}

void RunPoststop(const Globals& globals, const std::vector<oci::Hook>& hooks,
                 const std::string& state_json) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    Result<> run = RunHook(hooks[i], "poststop", state_json, nullptr);
    if (!run)
      Warn(globals, std::move(run).error().Wrap(Place("poststop", i, hooks[i])).message());
  }
}

}  // namespace wherry::oci_runtime
