// create, run, start. Everything a container needs is read before anything is made; what is made is
// undone by the destructors of the objects that made it, the state directory last.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci_runtime/cgroups.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/hooks.h"
#include "core/oci_runtime/launch.h"
#include "core/oci_runtime/notify.h"
#include "core/oci_runtime/state.h"
#include "core/oci_runtime/terminal.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/container.h"
#include "core/sys/cgroup.h"
#include "core/sys/user_namespace.h"

namespace wherry::oci_runtime {

namespace {

constexpr size_t kMaxConfig = size_t{4} << 20;

Result<std::string> RealPath(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  if (realpath(path.c_str(), buffer.data()) == nullptr)
    return FailSys("bundle", path);
  return std::string(buffer.data());
}

// Without root there is a cgroup only where one can be made.
void DropImpossibleCgroup(std::string& cgroup) {
  Result<sys::CgroupHost> host = sys::FindCgroupHost();
  std::string parent = host ? SplitPath(Cat(host->mount, cgroup)).dir : "";
  if (parent.empty() || faccessat(AT_FDCWD, parent.c_str(), W_OK, AT_EACCESS) < 0)
    cgroup.clear();
}

class Creation {
 public:
  explicit Creation(const Call& call) : call_(call) {}

  Result<> Read(Foreground foreground);
  Result<StateDir> MakeDirectory();
  // `start_socket`: -1 for a container that is started at once.
  Result<runtime::Prepared> Build(StateDir& dir, int start_socket);
  Result<> RunPoststart();
  Result<> SendListener(int listener);
  // What delete does, when the program has ended or must not go on. Nothing when somebody else has
  // deleted the container meanwhile.
  void Remove(StateDir& dir);

 private:
  Result<> NameCgroup();
  Result<std::string> EnterScope(pid_t pid);
  runtime::HookRunners HookRunners(StateDir& dir);
  Result<> InNamespaces(StateDir& dir, pid_t pid);
  Result<> RunInside(const std::vector<oci::Hook>& hooks, std::string_view kind, Status status,
                     const std::vector<std::string>* environment);

  const Call& call_;
  std::string config_;
  oci::RuntimeSpec spec_;
  State state_;
  int preserved_ = 0;
  // With systemd.
  runtime::ScopeName scope_;
  std::vector<runtime::UnitProperty> unit_properties_;
  std::optional<runtime::Systemd> systemd_;
};

Result<> Creation::Read(Foreground foreground) {
  const Options& options = call_.options;
  state_.id = call_.id();
  TRY(CheckId(state_.id));
  state_.bundle = TRY(RealPath(options.Has("bundle") ? options.Value("bundle") : "."));
  std::string path =
      options.Has("config") ? options.Value("config") : Cat(state_.bundle, "/config.json");
  config_ = TRY(ReadFile(path, kMaxConfig));
  spec_ = TRY(oci::RuntimeSpec::Parse(config_));
  DropImpossibleAmbient(spec_.process);
  spec_.process.user.keeps_groups = KeepsGroups(spec_);
  TRY(CheckConsole(options, spec_.process, foreground));
  preserved_ = TRY(PreservedFds(options, spec_.process));
  // A limit since 1.3 of the specification; before, none, which podman 4 counts on.
  bool zero_is_none = spec_.oci_version.starts_with("1.0.") ||
                      spec_.oci_version.starts_with("1.1.") ||
                      spec_.oci_version.starts_with("1.2.");
  if (zero_is_none && spec_.resources.pids_limit == 0)
    spec_.resources.pids_limit.reset();
  state_.oci_version = spec_.oci_version;
  state_.annotations = spec_.annotations;
  state_.rootfs =
      spec_.root_path.starts_with('/') ? spec_.root_path : Cat(state_.bundle, "/", spec_.root_path);
  state_.new_keyring = !options.Has("no-new-keyring");
  AddOwnUser(spec_);
  return NameCgroup();
}

Result<> Creation::NameCgroup() {
  switch (call_.globals.cgroup_manager) {
    case CgroupManager::kRuntime:
      state_.cgroup = CgroupPath(spec_.cgroups_path, state_.id);
      if (geteuid() != 0 || sys::InUserNamespace())
        DropImpossibleCgroup(state_.cgroup);
      break;
    case CgroupManager::kSystemd:
      scope_ = TRY(runtime::ParseScopeName(spec_.cgroups_path, state_.id));
      unit_properties_ = TRY(runtime::AnnotatedProperties(spec_.annotations));
      state_.unit = scope_.unit;
      break;
    case CgroupManager::kNobody:
      break;
  }
  return {};
}

// Limits come when the container is built.
Result<std::string> Creation::EnterScope(pid_t pid) {
  systemd_ = TRY(runtime::Systemd::Connect());
  std::string description = Cat("wherry container ", state_.id);
  state_.cgroup = TRY(systemd_->StartScope(scope_, description, pid, unit_properties_));
  return state_.cgroup;
}

Result<StateDir> Creation::MakeDirectory() {
  StateDir dir = TRY(StateDir::Create(call_.globals.root, state_.id));
  state_.created = UnixNanosNow();
  Result<> saved = dir.SaveConfig(config_);
  if (saved)
    saved = dir.Save(state_);
  if (saved)
    return dir;
  (void)dir.Remove();
  return std::unexpected(std::move(saved).error());
}

// Hooks see the container's process before its file system is there.
Result<> Creation::InNamespaces(StateDir& dir, pid_t pid) {
  State state = state_;
  state.pid = pid;
  state.start_time = TRY(sys::ProcessStartTime(pid));
  TRY(dir.Save(state));
  std::string json = StateJson(state, Status::kCreating);
  TRY(RunHooks(spec_.hooks.prestart, "prestart", json));
  return RunHooks(spec_.hooks.create_runtime, "createRuntime", json);
}

// In the container's init: its pid is the one it has itself, as with runc.
Result<> Creation::RunInside(const std::vector<oci::Hook>& hooks, std::string_view kind,
                             Status status, const std::vector<std::string>* environment) {
  State state = state_;
  state.pid = getpid();
  return RunHooks(hooks, kind, StateJson(state, status), environment);
}

runtime::HookRunners Creation::HookRunners(StateDir& dir) {
  const oci::Hooks& hooks = spec_.hooks;
  runtime::HookRunners runners;
  if (!hooks.empty())
    runners.in_namespaces = [this, &dir](pid_t pid) { return InNamespaces(dir, pid); };
  if (!hooks.create_container.empty()) {
    runners.create_container = [this] {
      return RunInside(spec_.hooks.create_container, "createContainer", Status::kCreating, nullptr);
    };
  }
  if (!hooks.start_container.empty()) {
    runners.start_container = [this](const std::vector<std::string>& environment) {
      return RunInside(spec_.hooks.start_container, "startContainer", Status::kCreated,
                       &environment);
    };
  }
  return runners;
}

Result<runtime::Prepared> Creation::Build(StateDir& dir, int start_socket) {
  TRY(AddNotifySocket(dir, spec_));
  runtime::SeccompFilter filter = TRY(CompileFilter(spec_.seccomp, spec_.process));
  runtime::ContainerRequest request{
      .id = state_.id,
      .spec = spec_,
      .bundle = state_.bundle,
      .overlay = {},
      .streams = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
      .cgroup = state_.cgroup,
      .seccomp = {filter.code(), filter.flags(), !spec_.seccomp_listener.path.empty()},
      .preserved_fds = preserved_,
      .start_socket = start_socket,
      .new_keyring = state_.new_keyring,
      .pivot = !call_.options.Has("no-pivot"),
      .hooks = HookRunners(dir)};
  if (!state_.unit.empty())
    request.enter_cgroup = [this](pid_t pid) { return EnterScope(pid); };
  runtime::StartResult<runtime::Prepared> prepared = runtime::Prepare(request);
  if (!prepared)
    return std::unexpected(std::move(prepared).error().error);
  if (systemd_)
    TRY(TellLimits(*systemd_, state_.unit, *prepared->cgroup(), spec_.resources));
  systemd_.reset();
  state_.pid = prepared->pid();
  state_.start_time = prepared->start_time();
  TRY(dir.Save(state_));
  TRY(Announce(call_.options, spec_.process, *prepared));
  return std::move(*prepared);
}

Result<> Creation::RunPoststart() {
  return RunHooks(spec_.hooks.poststart, "poststart", StateJson(state_, Status::kRunning));
}

Result<> Creation::SendListener(int listener) {
  return oci_runtime::SendListener(spec_.seccomp_listener, state_.pid,
                                   StateJson(state_, Status::kCreating), listener);
}

// What delete does. REQUIRES: the directory's lock.
void RemoveLocked(const Globals& globals, StateDir& dir, const State& state,
                  const oci::RuntimeSpec& spec) {
  (void)RemoveCgroup(globals, state);
  (void)dir.Remove();
  RunPoststop(globals, spec.hooks.poststop, StateJson(state, Status::kStopped));
}

// The container runs, whatever becomes of the news.
int AwaitReady(const Globals& globals, NotifyListener& notify, const sys::PidFd& init) {
  if (Result<> told = notify.Await(init); !told)
    Warn(globals, told.error().message());
  return 0;
}

void Creation::Remove(StateDir& dir) {
  if (dir.Lock())
    RemoveLocked(call_.globals, dir, state_, spec_);
}

}  // namespace

Result<int> Create(const Call& call) {
  Creation creation(call);
  TRY(creation.Read(Foreground::kNo));
  StateDir dir = TRY(creation.MakeDirectory());
  ScopeExit remove([&dir] { (void)dir.Remove(); });
  UniqueFd listener = TRY(dir.Listen());
  runtime::Prepared prepared = TRY(creation.Build(dir, listener.get()));
  TRY(prepared.Detach());
  dir.Unlock();
  remove.Disarm();
  return 0;
}

Result<int> Run(const Call& call) {
  bool detach = call.options.Has("detach");
  Creation creation(call);
  TRY(creation.Read(detach ? Foreground::kNo : Foreground::kYes));
  StateDir dir = TRY(creation.MakeDirectory());
  ScopeExit remove([&dir] { (void)dir.Remove(); });
  if (!detach)
    BlockSignals();
  runtime::Prepared prepared = TRY(creation.Build(dir, -1));
  UniqueFd terminal = prepared.TakeConsole();
  if (terminal)
    MatchTerminal(terminal.get());
  NotifyListener notify = TRY(NotifyListener::Listen(dir, detach ? prepared.pid() : getpid()));
  runtime::StartResult<> started =
      prepared.Start([&](int listener) { return creation.SendListener(listener); });
  if (!started)
    return std::unexpected(std::move(started).error().error);
  remove.Disarm();
  sys::PidFd init = prepared.TakeProcess();
  Result<> hooks = creation.RunPoststart();
  if (!hooks) {
    (void)init.Signal(SIGKILL);
    creation.Remove(dir);
    return std::unexpected(std::move(hooks).error());
  }
  dir.Unlock();  // for pause, update and the like
  if (detach)
    return AwaitReady(call.globals, notify, init);
  int code = TRY(AwaitExit(init, std::move(terminal), &notify));
  if (!call.options.Has("keep"))
    creation.Remove(dir);
  return code;
}

Result<int> Start(const Call& call) {
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kYes));
  if (container.status == Status::kStopped)
    return Fail(Errc::kConflict, "cannot start a container that has stopped");
  if (container.status != Status::kCreated) {
    return Fail(Errc::kConflict, Cat("cannot start an already running container: ", call.id(),
                                     " is ", StatusName(container.status)));
  }
  oci::RuntimeSpec spec = TRY(container.dir.LoadConfig());
  NotifyListener notify = TRY(NotifyListener::Listen(container.dir, container.state.pid));
  UniqueFd connection = TRY(container.dir.Connect());
  runtime::Prepared prepared =
      runtime::Prepared::Attach(std::move(connection), std::move(container.init));
  // As far as whoever listens is concerned, the container is being made (as with runc).
  std::string creating = StateJson(container.state, Status::kCreating);
  runtime::StartResult<> started = prepared.Start([&](int listener) {
    return SendListener(spec.seccomp_listener, container.state.pid, creating, listener);
  });
  if (!started)
    return std::unexpected(std::move(started).error().error);
  container.init = prepared.TakeProcess();
  container.status = Status::kRunning;
  Result<> hooks = RunHooks(spec.hooks.poststart, "poststart", container.StateJson());
  if (!hooks) {
    (void)container.init.Signal(SIGKILL);
    RemoveLocked(call.globals, container.dir, container.state, spec);
    return std::unexpected(std::move(hooks).error());
  }
  container.dir.Unlock();
  return AwaitReady(call.globals, notify, container.init);
}

namespace {

constexpr OptionRow kCreateRows[] = {
    kConsoleSocket,
    kPidFile,
    kPreserveFds,
    kPidfdSocket,
    {"bundle", 'b', Takes::kValue},
    {"config", 'f', Takes::kValue},
    {"no-pivot", 0, Takes::kNothing},
    {"no-new-keyring", 0, Takes::kNothing},
    {"no-subreaper", 0, Takes::kNothing},  // there is none
    // Of run alone.
    {"detach", 'd', Takes::kNothing},
    {"keep", 0, Takes::kNothing},
};
constexpr size_t kOfRun = 2;

}  // namespace

const std::span<const OptionRow> kCreateOptions =
    std::span(kCreateRows).first(std::size(kCreateRows) - kOfRun);
const std::span<const OptionRow> kRunOptions = kCreateRows;

}  // namespace wherry::oci_runtime
