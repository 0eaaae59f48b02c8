#include "engine/execs.h"

#include <algorithm>
#include <csignal>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/shim/protocol.h"
#include "core/sys/cgroup.h"
#include "engine/container_attach.h"
#include "engine/container_files.h"
#include "engine/container_names.h"
#include "engine/spec_builder.h"
#include "engine/user_namespace.h"

namespace wherry::engine {

namespace {

constexpr int kSetupFailed = 125;
constexpr int kKilled = 128 + SIGKILL;
// Clients start what they have created, and ask for the exit code, at once.
constexpr std::chrono::minutes kKeepIdle{5};
constexpr size_t kMaxIdle = 256;

// What a worker needs; copies, because the container may end meanwhile.
struct ExecInput {
  std::string container_id;
  std::string container_directory;  // its run directory
  std::string network;
  std::shared_ptr<const ContainerConfig> container_config;
  ExecConfig config;
  shim::LaunchSpec launch;  // what is known without looking
};

// The container's configuration with the process in the place of the container's own.
ContainerConfig ProcessConfig(const ExecInput& input) {
  ContainerConfig config = *input.container_config;
  config.args = input.config.args;
  config.env.insert(config.env.end(), input.config.env.begin(), input.config.env.end());
  if (!input.config.user.empty())
    config.user = input.config.user;
  if (!input.config.working_dir.empty())
    config.working_dir = input.config.working_dir;
  config.tty = input.config.tty;
  config.host.console_rows = input.config.rows;
  config.host.console_columns = input.config.columns;
  config.host.privileged = config.host.privileged || input.config.privileged;
  return config;
}

Result<shim::LaunchSpec> PrepareExec(ExecInput input) {
  auto container = ReadLaunchRecord(input.container_directory);
  if (!container)
    return Fail(Errc::kConflict, Cat("container ", input.container_id, " is not running"));
  shim::LaunchSpec launch = std::move(input.launch);
  launch.join = shim::LaunchSpec::Join{container->pid, container->start_time};
  ContainerConfig config = ProcessConfig(input);
  std::string hostname =
      EffectiveHostname(*input.container_config, input.network, input.container_id);
  SpecInput spec{config, input.container_id, hostname, input.network, launch.bundle, launch.cgroup};
  std::string user_namespace = Cat("/proc/", container->pid, "/ns/user");
  std::optional<IdMaps> ids = TRY(IdMapsOf(container->pid));
  if (ids)
    spec.user_namespace = user_namespace;
  TRY(MakeDirs(launch.bundle, 0700));
  TRY(ReplaceFile(Cat(launch.bundle, "/config.json"), BuildExecConfig(spec), 0600,
                  Durability::kVolatile));
  return launch;
}

// Nothing when it has ended already: the number may be another process's then.
sys::PidFd OpenProcess(int pid, const std::string& cgroup) {
  auto process = sys::PidFd::Open(pid);
  auto where = sys::CgroupOf(pid);
  bool same = process && where && (*where == cgroup || where->starts_with(Cat(cgroup, "/")));
  return same ? std::move(*process) : sys::PidFd();
}

}  // namespace

Result<ExecPtr> Execs::Create(const ContainerPtr& container, ExecConfig config) {
  if (container->state == ContainerState::kPaused) {
    return Fail(Errc::kConflict, Cat("Container ", container->name,
                                     " is paused, unpause the container before exec"));
  }
  if (container->state != ContainerState::kRunning)
    return Fail(Errc::kConflict, Cat("container ", container->id, " is not running"));
  Forget();
  auto exec = std::make_shared<Exec>();
  exec->id = RandomId();
  exec->container = container;
  exec->config = std::move(config);
  exec->directory = Cat(container->run_directory, "/", kExecDirectory, "/", exec->id);
  exec->changed_at = Uptime();
  by_id_.emplace(exec->id, exec);
  container->exec_ids.push_back(exec->id);
  Publish(*exec, "exec_create", 0);
  return exec;
}

Result<ExecPtr> Execs::Find(std::string_view id) const {
  auto found = by_id_.find(id);
  if (found == by_id_.end())
    return Fail(Errc::kNotFound, Cat("No such exec instance: ", id));
  return found->second;
}

Result<> Execs::CheckStart(const Exec& exec) {
  const Container& container = *exec.container;
  if (exec.state == Exec::State::kEnded) {
    return Fail(Errc::kConflict, Cat("Error: Exec command ", exec.id, " has already run"));
  }
  if (exec.state != Exec::State::kCreated)
    return Fail(Errc::kConflict, Cat("Error: Exec command ", exec.id, " is already running"));
  if (container.state == ContainerState::kPaused) {
    return Fail(Errc::kConflict,
                Cat("Container ", container.name, " is paused, unpause the container before exec"));
  }
  if (container.state != ContainerState::kRunning)
    return Fail(Errc::kConflict, Cat("container ", container.id, " is not running"));
  return {};
}

void Execs::Start(const ExecPtr& exec, std::shared_ptr<AttachSession> session, Done<> done) {
  exec->state = Exec::State::kStarting;
  const Container& container = *exec->container;
  const ContainerConfig& config = *container.config;
  ExecInput input{container.id,
                  container.run_directory,
                  config.host.network_mode,
                  container.config,
                  exec->config,
                  {}};
  shim::LaunchSpec& launch = input.launch;
  launch.id = container.id;
  launch.bundle = exec->directory;
  launch.log.driver = shim::LogDriver::kNone;
  launch.tty = exec->config.tty;
  launch.with_stdin = exec->config.with_stdin;
  launch.stdin_once = true;
  launch.rows = exec->config.rows;
  launch.columns = exec->config.columns;
  launch.cgroup = env_.containers->CgroupPath(container.id);
  launch.shim = env_.containers->shim_path();
  launch.seccomp = SeccompModeOf(config.host);
  Publish(*exec, "exec_start", 0);
  env_.workers->Run([this, loop = env_.loop, exec, input = std::move(input),
                     session = std::move(session), done = std::move(done)]() mutable {
    auto prepared = std::make_shared<Result<shim::LaunchSpec>>(PrepareExec(std::move(input)));
    loop->Post(
        [this, exec, prepared, session = std::move(session), done = std::move(done)]() mutable {
          if (!*prepared)
            return Failed(exec, kSetupFailed, prepared->error(), std::move(done));
          Launch(exec, **prepared, std::move(session), std::move(done));
        });
  });
}

void Execs::Launch(const ExecPtr& exec, const shim::LaunchSpec& spec,
                   std::shared_ptr<AttachSession> session, Done<> done) {
  auto shared_done = std::make_shared<Done<>>(std::move(done));
  auto launched = env_.containers->launcher().Launch(
      spec, [this, exec, session = std::move(session), shared_done](const LaunchOutcome& outcome) {
        if (outcome.pid == 0) {
          return Failed(exec, outcome.exit_code,
                        Error(Errc::kInvalid, Cat("OCI runtime exec failed: exec failed: unable to "
                                                  "start container process: ",
                                                  outcome.message)),
                        std::move(*shared_done));
        }
        Started(exec, outcome.pid, session);
        (*shared_done)({});
      });
  if (!launched)
    Failed(exec, kSetupFailed, launched.error(), std::move(*shared_done));
}

// The client first, the watcher last: the shim passes output on only when the watcher has said
// hello.
void Execs::Started(const ExecPtr& exec, int pid, const std::shared_ptr<AttachSession>& session) {
  exec->state = Exec::State::kRunning;
  exec->pid = pid;
  exec->process = OpenProcess(pid, env_.containers->CgroupPath(exec->container->id));
  if (session) {
    session->HoldOpen();
    exec->session = session;
    auto joined = session->Connect(env_.loop, exec->directory);
    if (!joined)
      session->CloseWith(Cat("cannot attach: ", joined.error().message(), "\n"));
  }
  auto connected = ShimConnection::Connect(env_.loop, exec->directory);
  if (!connected)
    return ShimGone(exec);
  exec->watch = std::move(*connected);
  std::weak_ptr<Exec> weak = exec;
  exec->watch->OnFrame([this, weak](uint8_t kind, std::string_view frame) {
    auto held = weak.lock();
    if (!held || kind != shim::kExit)
      return;
    if (auto record = ExitRecord::Parse(FramePayload(frame)))
      Ended(held, record->code);
  });
  exec->watch->OnClose([this, weak] {
    if (auto held = weak.lock())
      ShimGone(held);
  });
  exec->watch->Send(shim::kHello);
  if (exec->config.tty && exec->config.rows != 0)
    exec->watch->Send(shim::kResize, ResizePayload(exec->config.rows, exec->config.columns));
}

void Execs::Failed(const ExecPtr& exec, int exit_code, const Error& error, Done<> done) {
  LogInfo("exec in container ", exec->container->name, ": ", error.message());
  Ended(exec, exit_code);
  done(std::unexpected(error.Clone()));
}

void Execs::Ended(const ExecPtr& exec, int exit_code) {
  if (exec->state == Exec::State::kEnded)
    return;
  bool ran = exec->state == Exec::State::kRunning;
  exec->state = Exec::State::kEnded;
  exec->pid = 0;
  exec->process = {};
  exec->exit_code = exit_code;
  exec->changed_at = Uptime();
  if (exec->watch && !exec->watch->closed())
    exec->watch->FinishSending();
  if (ran)
    Publish(*exec, "exec_die", exit_code);
  if (auto session = std::move(exec->session))
    session->Release();
  if (auto on_end = std::move(exec->on_end))
    on_end(exit_code);
  // The shim writes by descriptor: the directory may go before it.
  env_.workers->Run([directory = exec->directory] { (void)RemoveTree(directory); });
}

// After the end as it should be, or because the shim was killed: then nobody knows the exit code.
void Execs::ShimGone(const ExecPtr& exec) {
  auto watch = std::move(exec->watch);
  if (exec->state == Exec::State::kEnded)
    return;
  auto record = ReadExitRecord(exec->directory);
  Ended(exec, record ? record->code : kKilled);
}

void Execs::Kill(const Exec& exec) {
  if (exec.process)
    (void)exec.process.Signal(SIGKILL);
}

// Clients send the size of their terminal beside the start, not after it.
Result<> Execs::Resize(Exec& exec, uint16_t rows, uint16_t columns) {
  if (exec.state == Exec::State::kEnded)
    return Fail(Errc::kConflict, Cat("exec ", exec.id, " is not running"));
  exec.config.rows = rows;
  exec.config.columns = columns;
  if (exec.watch)
    exec.watch->Send(shim::kResize, ResizePayload(rows, columns));
  return {};
}

// "exec_create: sh -c date", with the ID as an attribute, as Docker has it.
void Execs::Publish(const Exec& exec, std::string_view action, int exit_code) {
  Containers::EventAttributes attributes{{"execID", exec.id}};
  if (action == "exec_die") {
    attributes.emplace_back("exitCode", Cat(exit_code));
    return env_.containers->Publish(*exec.container, std::string(action), std::move(attributes));
  }
  std::string text = Cat(action, ":");
  for (const std::string& word : exec.config.args)
    Append(text, " ", word);
  env_.containers->Publish(*exec.container, std::move(text), std::move(attributes));
}

// Those of removed containers, and those that nobody started or asked for in time, the oldest first
// when there are many.
void Execs::Forget() {
  std::erase_if(by_id_, [](const auto& entry) {
    return entry.second->state == Exec::State::kEnded &&
           entry.second->container->state == ContainerState::kRemoving;
  });
  std::vector<ExecPtr> idle;
  for (const auto& [id, exec] : by_id_) {
    if (exec->state == Exec::State::kCreated || exec->state == Exec::State::kEnded)
      idle.push_back(exec);
  }
  std::ranges::sort(idle, {}, &Exec::changed_at);
  size_t excess = idle.size() - std::min(idle.size(), kMaxIdle);
  auto now = Uptime();
  for (size_t i = 0; i < idle.size(); ++i) {
    if (i < excess || now - idle[i]->changed_at > kKeepIdle)
      Drop(*idle[i]);
  }
}

void Execs::Drop(const Exec& exec) {
  std::erase(exec.container->exec_ids, exec.id);
  by_id_.erase(exec.id);
}

}  // namespace wherry::engine
