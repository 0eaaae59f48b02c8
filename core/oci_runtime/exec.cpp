// exec: a further process, by --process FILE or by the container's own process with changes.
#include "core/runtime/exec.h"

#include <signal.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/launch.h"
#include "core/oci_runtime/state.h"

namespace wherry::oci_runtime {

namespace {

constexpr size_t kMaxProcess = size_t{1} << 20;
constexpr uint32_t kMaxGroup = INT32_MAX;

// --cap: not inheritable, as for init (CVE-2022-29162).
void AddCapabilities(oci::Process& process, const std::vector<std::string>& names) {
  if (names.empty())
    return;
  if (!process.capabilities)
    process.capabilities.emplace();
  for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                    &process.capabilities->permitted}) {
    set->insert(set->end(), names.begin(), names.end());
  }
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
    {"apparmor", 0, Takes::kRefused},
    {"process-label", 0, Takes::kRefused},
    {"cgroup", 0, Takes::kRefused},
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
  TRY(CheckConsole(options, process));
  int preserved = TRY(PreservedFds(options, process));
  runtime::SeccompFilter filter = TRY(CompileFilter(spec.seccomp, process));
  bool detach = options.Has("detach");
  if (!detach)
    BlockSignals();
  runtime::ExecRequest request{.container = container.state.id,
                               .process = process,
                               .namespaces = spec.namespaces,
                               .init = container.init,
                               .streams = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
                               .cgroup = container.state.cgroup,
                               .seccomp = {filter.code(), filter.flags()},
                               .preserved_fds = preserved};
  runtime::StartResult<runtime::Prepared> prepared = runtime::PrepareExec(request);
  if (!prepared)
    return std::unexpected(std::move(prepared).error().error);
  if (process.terminal)
    TRY(SendConsole(options.Value("console-socket"), prepared->TakeConsole()));
  TRY(WritePidFile(options.Value("pid-file"), prepared->pid()));
  runtime::StartResult<> started = prepared->Start();
  if (!started)
    return std::unexpected(std::move(started).error().error);
  sys::PidFd running = prepared->TakeProcess();
  if (detach)
    return 0;
  return AwaitExit(running);
}

}  // namespace wherry::oci_runtime
