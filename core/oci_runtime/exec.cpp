// exec: a further process, by --process FILE or by the container's own process with changes.
#include "core/runtime/exec.h"

#include <signal.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/launch.h"
#include "core/oci_runtime/state.h"
#include "core/oci_runtime/terminal.h"

namespace wherry::oci_runtime {

namespace {

constexpr size_t kMaxProcess = size_t{1} << 20;
constexpr uint32_t kMaxGroup = INT32_MAX;

// --cap: not inheritable, as for init (CVE-2022-29162); ambient if it is inheritable already, which
// DropImpossibleAmbient sees to.
void AddCapabilities(oci::Process& process, const std::vector<std::string>& names) {
  if (names.empty())
    return;
  if (!process.capabilities)
    process.capabilities.emplace();
  for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                    &process.capabilities->permitted, &process.capabilities->ambient}) {
    set->insert(set->end(), names.begin(), names.end());
  }
}

// Below the container's own.
Result<std::string> WantedCgroup(const Options& options, const State& state) {
  std::string below = options.Value("cgroup");
  if (below.empty())
    return state.cgroup;
  for (std::string_view part : Split(below, '/')) {
    if (part == "..")
      return Fail(Errc::kInvalid, Cat("--cgroup ", below, ": `..` components are not allowed"));
  }
  if (state.cgroup.empty())
    return Fail(Errc::kConflict, Cat("container ", state.id, " has no cgroup: --cgroup ", below));
  return Cat(state.cgroup, "/", below);
}

Result<oci::Process> WantedProcess(const Options& options, const oci::RuntimeSpec& spec) {
  if (options.Has("process")) {
    std::string text = TRY(ReadFile(options.Value("process"), kMaxProcess));
    return oci::ParseProcess(text);
  }
  oci::Process process = spec.process;
  process.args.assign(options.arguments().begin() + 1, options.arguments().end());
  if (process.args.empty())
    return Fail(Errc::kInvalid, "process args cannot be empty: give a program after the id");
  process.terminal = options.Has("tty");
  if (options.Has("cwd"))
    process.cwd = options.Value("cwd");
  if (!process.cwd.starts_with('/'))
    return Fail(Errc::kInvalid, Cat("--cwd ", process.cwd, " is not an absolute path"));
  for (const std::string& entry : options.Values("env")) {
    if (entry.find('=') == std::string::npos || entry[0] == '=')
      return Fail(Errc::kInvalid, Cat("--env ", entry, " is not NAME=value"));
    process.env.push_back(entry);
  }
  if (options.Has("user")) {
    // Not root for want of a name: the container's own user may be another.
    if (options.Value("user").empty() || options.Value("user").starts_with(':'))
      return Fail(Errc::kInvalid, Cat("--user \"", options.Value("user"), "\" names no user"));
    process.user = {};
    process.user.username = options.Value("user");
  }
  for (const std::string& group : options.Values("additional-gids")) {
    Result<uint64_t> gid = ParseUint(group);
    if (!gid || *gid > kMaxGroup)
      return Fail(Errc::kInvalid, Cat("--additional-gids ", group, " is not a group's number"));
    process.user.additional_gids.push_back(static_cast<uint32_t>(*gid));
  }
  AddCapabilities(process, options.Values("cap"));
  process.no_new_privileges = process.no_new_privileges || options.Has("no-new-privs");
  if (options.Has("apparmor"))
    process.apparmor_profile = options.Value("apparmor");
  if (options.Has("process-label"))
    process.selinux_label = options.Value("process-label");
  return process;
}

constexpr OptionRow kExecRows[] = {
    kConsoleSocket,
    kPidFile,
    kPreserveFds,
    kPidfdSocket,
    {"process", 'p', Takes::kValue},
    {"detach", 'd', Takes::kNothing},
    {"tty", 't', Takes::kNothing},
    {"user", 'u', Takes::kValue},
    {"additional-gids", 'g', Takes::kValue},
    {"cwd", 0, Takes::kValue},
    {"env", 'e', Takes::kValue},
    {"cap", 'c', Takes::kValue},
    {"no-new-privs", 0, Takes::kNothing},
    {"ignore-paused", 0, Takes::kNothing},
    {"no-subreaper", 0, Takes::kNothing},
    {"apparmor", 0, Takes::kValue},
    {"process-label", 0, Takes::kValue},
    {"cgroup", 0, Takes::kValue},
};

}  // namespace

const std::span<const OptionRow> kExecOptions = kExecRows;

Result<int> Exec(const Call& call) {
  const Options& options = call.options;
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kNo));
  if (!container.init)
    return Fail(Errc::kConflict, "cannot exec in a stopped container: container not running");
  if (container.status == Status::kPaused && !options.Has("ignore-paused")) {
    return Fail(Errc::kConflict,
                "cannot exec in a paused container (use --ignore-paused to override)");
  }
  oci::RuntimeSpec spec = TRY(container.dir.LoadConfig());
  AddOwnUser(spec);
  oci::Process process = TRY(WantedProcess(options, spec));
  DropImpossibleAmbient(process);
  process.user.keeps_groups = KeepsGroups(spec);
  bool detach = options.Has("detach");
  TRY(CheckConsole(options, process, detach ? Foreground::kNo : Foreground::kYes));
  int preserved = TRY(PreservedFds(options, process));
  runtime::SeccompFilter filter = TRY(CompileFilter(spec.seccomp, process));
  if (!detach)
    BlockSignals();
  std::string cgroup = TRY(WantedCgroup(options, container.state));
  runtime::ExecRequest request{
      .container = container.state.id,
      .process = process,
      .namespaces = spec.namespaces,
      .init = container.init,
      .streams = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
      .cgroup = cgroup,
      .exact_cgroup = options.Has("cgroup"),
      .seccomp = {filter.code(), filter.flags(), !spec.seccomp_listener.path.empty()},
      .preserved_fds = preserved,
      .new_keyring = container.state.new_keyring,
      .personality = spec.personality,
      .memory_policy = spec.memory_policy ? &*spec.memory_policy : nullptr};
  runtime::StartResult<runtime::Prepared> prepared = runtime::PrepareExec(request);
  if (!prepared)
    return std::unexpected(std::move(prepared).error().error);
  TRY(Announce(options, process, *prepared));
  UniqueFd terminal = prepared->TakeConsole();
  if (terminal)
    MatchTerminal(terminal.get());
  runtime::StartResult<> started = prepared->Start([&](int listener) {
    return SendListener(spec.seccomp_listener, prepared->pid(), container.StateJson(), listener);
  });
  if (!started)
    return std::unexpected(std::move(started).error().error);
  sys::PidFd running = prepared->TakeProcess();
  if (detach)
    return 0;
  return AwaitExit(running, std::move(terminal));
}

}  // namespace wherry::oci_runtime
