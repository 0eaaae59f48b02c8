// Starting containers and noticing their end: see containers.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/runtime/cgroup.h"
#include "core/shim/protocol.h"
#include "core/sys/cgroup.h"
#include "engine/container_attach.h"
#include "engine/container_files.h"
#include "engine/container_record.h"
#include "engine/containers.h"
#include "engine/lost_cgroup.h"
#include "engine/quota.h"
#include "engine/shim_client.h"
#include "engine/spec_builder.h"

namespace wherry::engine {

namespace {

constexpr char kBundleConfig[] = "config.json";
constexpr std::chrono::seconds kShimEndTimeout{10};

// What a worker needs to prepare a start, without touching the container the loop owns.
struct StartInput {
  Images* images;
  Volumes* volumes;
  Networks* networks;
  Networks::Plan plan;  // of its endpoints
  ContainerPtr other;   // whose network namespace it shares; null: nobody's
  UniqueFd other_netns;
  std::string id;
  Digest manifest;
  std::shared_ptr<ImagePin> pin;
  std::string directory;
  std::string run_directory;
  std::string cgroup_parent;
  std::optional<IdMaps> ids;  // of the daemon's configuration
  std::shared_ptr<const ContainerConfig> config;
  shim::LaunchSpec launch;  // what is known without looking
};

// Leftovers of the last run would be taken for this one's.
Result<> ResetRunDirectory(const std::string& directory) {
  TRY(MakeDirs(directory, 0700));
  for (std::string_view name : {shim::kExitName, kLaunchRecordName, shim::kSocketName}) {
    std::string path = Cat(directory, "/", name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
      return FailSys("unlink", path);
  }
  return RemoveTree(Cat(directory, "/", kExecDirectory));
}

// Once per daemon: a process in an inner node of the cgroup tree would forbid controllers below it.
Result<> PrepareCgroupTree(const std::string& parent) {
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  return runtime::LeaveInnerCgroup(host, parent);
}

// Worker: everything on disk a launch needs.
Result<Preparation> PrepareStart(StartInput input) {
  auto root = TRY_CTX("the container's image", input.images->Root(input.manifest));
  TRY(PrepareCgroupTree(input.cgroup_parent));
  TRY(ResetRunDirectory(input.run_directory));
  TRY(CheckBindSources(*input.config, MissingSource::kCreate));
  TRY(input.volumes->Ensure(*input.config));  // somebody may have removed one by force
  ContainerConfig config = *input.config;
  std::shared_ptr<Volumes::Fill> fill = TRY(input.volumes->PrepareFill(config));
  std::string upper = Cat(input.directory, "/upper");
  std::string work = Cat(input.directory, "/work");
  TRY(MakeLayer(input.directory, root, config.host.storage_size));
  (void)unlink(Cat(input.directory, "/", kUnstartedMarker).c_str());
  std::string_view network = config.host.network_mode;
  const ContainerConfig& named = input.other ? *input.other->config : config;
  std::string hostname =
      EffectiveHostname(named, named.host.network_mode, input.other ? input.other->id : input.id);
  auto sandbox = std::make_shared<Networks::Sandbox>();
  NetworkIdentity identity{.mode = network, .addresses = {}, .gateway = {}};
  if (HasEndpoints(network)) {
    *sandbox = TRY(input.networks->Open(input.plan));
    for (const Endpoint& endpoint : sandbox->attachment.endpoints)
      identity.addresses.push_back(endpoint.address);
    if (!sandbox->attachment.endpoints.empty())
      identity.gateway = sandbox->attachment.endpoints.front().gateway;
    identity.resolver = true;
  } else {
    sandbox->netns = std::move(input.other_netns);
  }
  if (!input.other)
    TRY(WriteNetworkFiles(config, identity, hostname, input.run_directory));
  SpecInput spec{config,
                 input.id,
                 hostname,
                 network,
                 input.other ? input.other->run_directory : input.run_directory,
                 input.launch.cgroup};
  std::string netns = Cat("/proc/", getpid(), "/fd/", sandbox->netns.get());
  if (sandbox->netns)
    spec.netns = netns;
  if (input.ids && config.host.userns_mode != "host")
    spec.ids = &*input.ids;
  if (config.host.init)
    spec.init = input.launch.shim;
  std::string config_json = TRY(BuildRuntimeConfig(spec));
  TRY(ReplaceFile(Cat(input.run_directory, "/", kBundleConfig), config_json, 0600,
                  Durability::kVolatile));
  shim::LaunchSpec launch = std::move(input.launch);
  if (fill)
    launch.remove_when_ready = fill->markers;
  launch.overlay = shim::LaunchSpec::Overlay{.lower = std::move(root.lower),
                                             .image = std::move(root.image),
                                             .objects = std::move(root.objects),
                                             .data_only = root.data_only,
                                             .upper = std::move(upper),
                                             .work = std::move(work),
                                             .is_volatile = false};
  return Preparation{std::move(launch), std::move(fill), std::move(sandbox)};
}

// Why a launch failed as an error of the API: Docker's clients tell 126 and 127 from the words.
Error LaunchError(const LaunchOutcome& outcome) {
  bool command = outcome.exit_code == 126 || outcome.exit_code == 127;
  return Error(command ? Errc::kInvalid : Errc::kInternal,
               Cat("failed to create task for container: ", outcome.message));
}

}  // namespace

void Containers::Start(ContainerPtr container, Done<> done) {
  WhenIdle(container, [this, container, done = std::move(done)]() mutable {
    EndRestarting(*container);
    Remember(container, false);
    StartIdle(container, std::move(done));
  });
}

void Containers::StartIdle(const ContainerPtr& container, Done<> done) {
  if (container->state == ContainerState::kRunning)
    return done(Fail(Errc::kNotModified, "already running"));
  auto next = Transition(container->state, ContainerEvent::kStart);
  if (!next) {
    bool paused = container->state == ContainerState::kPaused;
    return done(
        Fail(Errc::kConflict, paused ? "cannot start a paused container, try unpause instead"
                                     : "container is marked for removal and cannot be started"));
  }
  ++container->holds;
  container->starting = true;
  const ContainerConfig& config = *container->config;
  ContainerPtr other;
  UniqueFd other_netns;
  if (SharedWith(config.host.network_mode)) {
    auto found = SharedNetwork(config);
    auto netns = found ? NetnsOf(**found) : std::unexpected(found.error().Clone());
    if (!netns)
      return StartFailed(container, 125, netns.error(), std::move(done));
    other = *found;
    other_netns = std::move(*netns);
  }
  StartInput input{env_.images,
                   env_.volumes,
                   env_.networks,
                   NetworkPlan(*container),
                   std::move(other),
                   std::move(other_netns),
                   container->id,
                   container->manifest,
                   container->pin,
                   container->directory,
                   container->run_directory,
                   env_.config->cgroup_parent,
                   env_.config->ids,
                   container->config,
                   {}};
  shim::LaunchSpec& launch = input.launch;
  launch.id = container->id;
  launch.bundle = container->run_directory;
  launch.log_dir = container->directory;
  launch.log.driver =
      config.host.log_driver == "none" ? shim::LogDriver::kNone : shim::LogDriver::kJsonFile;
  launch.log.max_size = config.host.log_max_size.value_or(env_.config->log_max_size);
  launch.log.max_files =
      static_cast<uint32_t>(config.host.log_max_files.value_or(env_.config->log_max_files));
  launch.tty = config.tty;
  launch.with_stdin = config.open_stdin;
  launch.stdin_once = config.stdin_once;
  launch.rows = config.host.console_rows;
  launch.columns = config.host.console_columns;
  launch.cgroup = CgroupPath(container->id);
  launch.shim = shim_path_;
  launch.seccomp = SeccompModeOf(config.host);

  OnWorker<Preparation>(
      [input = std::move(input)]() mutable { return PrepareStart(std::move(input)); },
      [this, container, done = std::move(done)](Result<Preparation> prepared) mutable {
        if (!prepared)
          return StartFailed(container, 125, prepared.error(), std::move(done));
        LaunchPrepared(container, *prepared, std::move(done));
      });
}

void Containers::LaunchPrepared(const ContainerPtr& container, const Preparation& prepared,
                                Done<> done) {
  auto shared_done = std::make_shared<Done<>>(std::move(done));
  EnterNetworks(container, *prepared.sandbox);
  // Volumes are filled when the launcher has answered, and the container is in its network then.
  auto launched =
      launcher_.Launch(prepared.spec, [this, container, shared_done, fill = prepared.fill,
                                       sandbox = prepared.sandbox](LaunchOutcome outcome) {
        Launched(container, std::move(outcome), std::move(*shared_done));
      });
  if (!launched)
    StartFailed(container, 125, launched.error(), std::move(*shared_done));
}

void Containers::Launched(const ContainerPtr& container, LaunchOutcome outcome, Done<> done) {
  if (outcome.pid == 0)
    return StartFailed(container, outcome.exit_code, LaunchError(outcome), std::move(done));
  container->starting = false;
  container->state = ContainerState::kRunning;
  container->stop_requested = false;
  container->status = RunStatus{};
  container->status.pid = outcome.pid;
  container->status.started_nanos = UnixNanosNow();
  SaveStatus(*container);
  HoldInit(*container);

  // Clients first, the watcher last: the shim passes output on only when the watcher has said
  // hello.
  auto sessions = std::exchange(container->pending_attaches, {});
  for (const auto& session : sessions) {
    auto joined = session->Connect(env_.loop, container->run_directory);
    if (!joined)
      session->CloseWith(Cat("cannot attach: ", joined.error().message(), "\n"));
  }
  Publish(*container, "start");
  Watch(container);
  done({});
  Release(container);
}

void Containers::StartFailed(const ContainerPtr& container, int exit_code, const Error& error,
                             Done<> done) {
  LogWarning("container ", container->name, " did not start: ", error.message());
  container->starting = false;
  container->status.pid = 0;
  container->status.exit_code = exit_code;
  container->status.error = error.message();
  (void)unlink(Cat(container->run_directory, "/", kLaunchRecordName).c_str());
  SaveStatus(*container);
  auto sessions = std::exchange(container->pending_attaches, {});
  for (const auto& session : sessions)
    session->Close();
  auto left = [this, container, error = error.Clone(), done = std::move(done)]() mutable {
    constexpr WaitCondition kNow[] = {WaitCondition::kNotRunning};
    NotifyWaiters(*container, kNow);
    done(std::unexpected(std::move(error)));
    Release(container);
    if (container->config->host.auto_remove)
      AutoRemove(container);
  };
  OnWorker<bool>([path = CgroupPath(container->id)] { return RemoveLostCgroup(path); },
                 [this, container, left = std::move(left)](Result<bool> removed) mutable {
                   if (!removed)
                     LogWarning("container ", container->name, ": ", removed.error().message());
                   LeaveNetworks(container, std::move(left));
                 });
}

// A descriptor of init for signals. The pid is certain: its parent, the shim, has not reaped it, or
// init is found to have another start time than the launcher wrote down.
void Containers::HoldInit(Container& container) {
  container.init = sys::PidFd();
  auto record = ReadLaunchRecord(container.run_directory);
  auto process = sys::PidFd::Open(container.status.pid);
  auto started = sys::ProcessStartTime(container.status.pid);
  if (record && process && started && record->pid == container.status.pid &&
      record->start_time == *started) {
    container.init = std::move(*process);
  }
}

void Containers::Watch(const ContainerPtr& container) {
  auto connected = ShimConnection::Connect(env_.loop, container->run_directory);
  if (!connected) {
    auto record = ReadExitRecord(container->run_directory);
    return record ? Ended(container, *record) : ShimLost(container, connected.error().message());
  }
  container->watch = std::move(*connected);
  std::weak_ptr<Container> weak = container;
  container->watch->OnFrame([this, weak](uint8_t kind, std::string_view frame) {
    auto held = weak.lock();
    if (!held || kind != shim::kExit)
      return;
    auto record = ExitRecord::Parse(FramePayload(frame));
    if (record)
      Ended(held, *record);
  });
  container->watch->OnClose([this, weak] {
    if (auto held = weak.lock())
      ShimGone(held);
  });
  container->watch->Send(shim::kHello);
}

void Containers::Ended(const ContainerPtr& container, const ExitRecord& record) {
  auto next = Transition(container->state, ContainerEvent::kExit);
  if (!next)
    return;
  container->state = *next;
  container->init = sys::PidFd();
  RunStatus& status = container->status;
  status.pid = 0;
  status.exit_code = record.code;
  status.oom_killed = record.oom;
  status.finished_nanos = record.unix_nanos;
  status.paused = false;
  SaveStatus(*container);
  // Until the shim is gone its socket and the cgroup are still in place: a new start or a removal
  // has to wait.
  if (container->watch && !container->watch->closed())
    AwaitShimEnd(container);
  // Who is told of the end may use the ports at once.
  ++container->holds;
  LeaveNetworks(container, [this, container] {
    Departed(container);
    Release(container);
  });
}

void Containers::Departed(const ContainerPtr& container) {
  const RunStatus& status = container->status;
  if (status.oom_killed)
    Publish(*container, "oom");
  int64_t seconds =
      std::max<int64_t>(0, status.finished_nanos - status.started_nanos) / 1'000'000'000;
  Publish(*container, "die", {{"exitCode", Cat(status.exit_code)}, {"execDuration", Cat(seconds)}});
  constexpr WaitCondition kNow[] = {WaitCondition::kNotRunning, WaitCondition::kNextExit};
  bool restarts = RestartByPolicy(container);
  bool removes = !restarts && !container->restart_requested && container->config->host.auto_remove;
  NotifyWaiters(*container, kNow);
  if (removes)
    AutoRemove(container);
}

void Containers::AwaitShimEnd(const ContainerPtr& container) {
  ++container->holds;
  container->watch->FinishSending();
  env_.loop->After(kShimEndTimeout, [this, weak = std::weak_ptr(container),
                                     watch = std::weak_ptr(container->watch)] {
    auto held = weak.lock();
    auto still = watch.lock();
    if (!held || !still || held->watch != still)
      return;
    LogWarning("the shim of container ", held->name, " does not end, going on without it");
    still->Close();
    ShimGone(held);
  });
}

// The shim closed its connection: after the end of the container as it should, or because it was
// killed.
void Containers::ShimGone(const ContainerPtr& container) {
  container->watch.reset();
  if (!HasProcess(container->state))
    return Release(container);
  auto record = ReadExitRecord(container->run_directory);
  if (record)
    return Ended(container, *record);
  ShimLost(container, "its shim has ended");
}

// Without a shim nobody reads the container's output or learns its exit code: the container is
// ended, as containerd does.
void Containers::ShimLost(const ContainerPtr& container, std::string_view why) {
  constexpr int kKilledExitCode = 128 + SIGKILL;
  LogWarning("container ", container->name, " has lost its supervisor and is ended: ", why);
  container->status.error = Cat("lost its supervisor: ", why);
  ExitRecord killed{kKilledExitCode, false, UnixNanosNow()};
  bool gone = !container->init || !container->init.Signal(SIGKILL);
  int fd = container->init.fd();
  auto finish = [this, weak = std::weak_ptr(container)](ExitRecord record) {
    auto held = weak.lock();
    if (!held || !HasProcess(held->state))
      return;
    ++held->holds;  // a new start would need the cgroup
    OnWorker<bool>([path = CgroupPath(held->id)] { return RemoveLostCgroup(path); },
                   [this, held](const Result<bool>&) { Release(held); });
    Ended(held, record);
  };
  if (gone)
    return finish(killed);
  auto added = env_.loop->Add(fd, EPOLLIN, [this, fd, finish](uint32_t) mutable {
    env_.loop->Remove(fd);
    finish({kKilledExitCode, false, UnixNanosNow()});
  });
  if (!added)
    finish(killed);
}

}  // namespace wherry::engine
