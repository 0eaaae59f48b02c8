// kill, delete, pause, resume.
#include <signal.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci_runtime/cgroups.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/hooks.h"
#include "core/oci_runtime/state.h"
#include "core/sys/cgroup.h"

namespace wherry::oci_runtime {

namespace {

struct SignalRow {
  std::string_view name;
  int number;
};
constexpr SignalRow kSignals[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP},     {"ABRT", SIGABRT},   {"IOT", SIGABRT},  {"BUS", SIGBUS},
    {"FPE", SIGFPE},       {"KILL", SIGKILL},   {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},     {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},   {"CLD", SIGCHLD},  {"CONT", SIGCONT},
    {"STOP", SIGSTOP},     {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
    {"URG", SIGURG},       {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
    {"PROF", SIGPROF},     {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"POLL", SIGIO},
    {"PWR", SIGPWR},       {"SYS", SIGSYS},     {"RTMIN", 34},     {"RTMAX", 64},
};
constexpr int kRtMin = 34;
constexpr int kLast = 64;

// "9", "0" (only whether it runs), "KILL", "SIGKILL", "kill", "RTMIN+3", "RTMAX-1".
Result<int> SignalNumber(const std::string& text) {
  auto unknown = [&text] { return Fail(Errc::kInvalid, Cat("unknown signal \"", text, "\"")); };
  if (Result<uint64_t> number = ParseUint(text)) {
    if (*number <= kLast)
      return static_cast<int>(*number);
    return unknown();
  }
  std::string_view name = text;
  if (EqualsIgnoreCase(name.substr(0, 3), "SIG"))
    name.remove_prefix(3);
  int offset = 0;
  if (size_t sign = name.find_first_of("+-"); sign != std::string_view::npos) {
    Result<uint64_t> digits = ParseUint(name.substr(sign + 1));
    if (!EqualsIgnoreCase(name.substr(0, 2), "RT") || !digits || *digits > kLast)
      return unknown();
    offset = name[sign] == '+' ? static_cast<int>(*digits) : -static_cast<int>(*digits);
    name = name.substr(0, sign);
  }
  auto row = std::ranges::find_if(
      kSignals, [name](const SignalRow& signal) { return EqualsIgnoreCase(signal.name, name); });
  if (row == std::end(kSignals))
    return unknown();
  int number = row->number + offset;
  if (offset != 0 && (number < kRtMin || number > kLast))
    return unknown();
  return number;
}

Result<> KillAll(const Container& container, int number) {
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  if (number == SIGKILL)
    return cgroup.Kill();
  std::vector<int> pids = TRY(sys::CgroupPids(cgroup.fd()));
  for (int pid : pids) {
    if (kill(pid, number) < 0 && errno != ESRCH)
      return FailSys("kill", Cat(pid));
  }
  return {};
}

// Without a pid namespace of its own a container does not end with its init.
bool WantsAll(const Call& call, const Container& container, int number) {
  if (container.state.cgroup.empty())
    return false;
  if (call.options.Has("all"))
    return true;
  if (number != SIGKILL)
    return false;
  Result<oci::RuntimeSpec> spec = container.dir.LoadConfig();
  if (!spec)
    return false;
  const oci::Namespace* pids = spec->FindNamespace(oci::NamespaceType::kPid);
  return pids == nullptr || !pids->path.empty();
}

// For its removal by force, whatever its state.json looks like.
Result<Container> FindToRemove(const Call& call) {
  Result<Container> found = FindContainer(call.globals.root, call.id(), Locked::kYes);
  if (found || !call.options.Has("force") || found.error().code() != Errc::kCorrupt)
    return found;
  Warn(call.globals, found.error().message());
  found = FindDamaged(call.globals, call.id());
  if (found && found->state.unit.empty() && !found->OpenCgroup()) {
    Warn(call.globals, Cat("container ", call.id(), " has no cgroup ", found->state.cgroup,
                           ": should it have had another, its processes are still there"));
  }
  // An init that waits for its start ends when the connection does.
  if (found)
    (void)found->dir.Connect();
  return found;
}

}  // namespace

Result<int> Kill(const Call& call) {
  const std::vector<std::string>& words = call.options.arguments();
  int number = TRY(SignalNumber(words.size() > 1 ? words[1] : "TERM"));
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kNo));
  if (WantsAll(call, container, number)) {
    Result<> killed = KillAll(container, number);
    if (killed || killed.error().code() != Errc::kNotFound)
      TRY(std::move(killed));
    return 0;
  }
  Result<> sent = container.init ? container.init.Signal(number) : Fail(Errc::kNotFound, "");
  if (!sent && sent.error().code() == Errc::kNotFound)
    return Fail(Errc::kConflict, Cat("container not running: ", call.id()));
  TRY(std::move(sent));
  return 0;
}

Result<int> Delete(const Call& call) {
  bool force = call.options.Has("force");
  Result<Container> found = FindToRemove(call);
  if (!found && force && found.error().code() == Errc::kNotFound)
    return 0;
  Container container = TRY(std::move(found));
  bool over = container.status == Status::kStopped || container.status == Status::kCreated;
  if (!over && !force) {
    return Fail(Errc::kConflict, Cat("cannot delete container ", call.id(),
                                     " that is not stopped: ", StatusName(container.status)));
  }
  Result<oci::RuntimeSpec> spec = container.dir.LoadConfig();
  if (container.init)
    (void)container.init.Signal(SIGKILL);
  TRY(RemoveCgroup(call.globals, container.state));
  container.status = Status::kStopped;
  TRY(container.dir.Remove());
  if (spec)
    RunPoststop(call.globals, spec->hooks.poststop, container.StateJson());
  return 0;
}

Result<int> Pause(const Call& call) {
  Container container = TRY(FindRunning(call.globals.root, call.id()));
  if (container.status == Status::kPaused)
    return 0;
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  TRY(cgroup.Freeze());
  return 0;
}

Result<int> Resume(const Call& call) {
  Container container = TRY(FindRunning(call.globals.root, call.id()));
  if (container.status != Status::kPaused)
    return Fail(Errc::kConflict, Cat("container not paused: ", call.id()));
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  TRY(cgroup.Thaw());
  return 0;
}

}  // namespace wherry::oci_runtime
