// Finding everything again after the daemon was started: see containers.h.
//
// A container is what its record on flash and its directory below /run say:
//   exit record              it has ended: code and time are in there
//   launch record, no exit   it runs: its shim is asked; without one its init is looked for
//   neither, files of a run  the machine was restarted: exited, code 255 as Docker says when it
//                            does not know; processes that are there all the same are ended
//   nothing at all           created, never started
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/container_record.h"
#include "engine/containers.h"
#include "engine/images.h"
#include "engine/lost_cgroup.h"

namespace wherry::engine {

namespace {

constexpr int kUnknownExitCode = 255;

bool IsContainerId(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<ContainerPtr> LoadContainer(const std::string& id, const std::string& directory,
                                   std::string_view root) {
  ContainerRecord record = TRY(LoadRecord(directory, id));
  auto container = std::make_shared<Container>();
  container->id = id;
  container->name = record.name;
  container->created_nanos = record.created_nanos;
  container->image_id = record.image_id;
  container->manifest = record.manifest;
  container->rests = record.rests;
  ContainerConfig config = TRY_CTX(directory, ParseContainerConfig(std::move(record.request)));
  LocateVolumes(root, config);
  container->config = std::make_shared<const ContainerConfig>(std::move(config));
  container->directory = directory;
  return container;
}

}  // namespace

Result<> Containers::Restore() {
  std::string directory = Cat(env_.config->root, "/containers");
  TRY(MakeDirs(directory, 0711));
  TRY(MakeDirs(Cat(env_.config->run, "/c"), 0711));
  auto names = TRY(ListDir(directory));
  for (const std::string& name : names) {
    if (IsContainerId(name))
      RestoreOne(name);
  }
  size_t running = Counts().running + Counts().paused;
  if (!by_id_.empty())
    LogInfo("found ", by_id_.size(), " containers, ", running, " running");
  return {};
}

void Containers::RestoreOne(const std::string& id) {
  std::string directory = Directory(id);
  auto loaded = LoadContainer(id, directory, env_.config->root);
  if (!loaded && loaded.error().code() == Errc::kNotFound) {
    // A creation or a removal was interrupted.
    auto removed = RemoveContainerFiles(directory, RunDirectory(id));
    if (!removed)
      LogWarning("cannot remove what is left of container ", id, ": ", removed.error().message());
    return;
  }
  if (!loaded) {
    LogError("container ", id, " is lost: ", loaded.error().message(),
             "; its files are kept, remove ", directory, " when they are not needed");
    return;
  }
  ContainerPtr container = std::move(*loaded);
  container->run_directory = RunDirectory(id);
  container->pin = env_.images->Pin(container->manifest);
  if (by_name_.contains(container->name)) {
    LogError("container ", id, " has the name ", container->name, " of another one and is called ",
             id, " now");
    container->name = id;
  }
  Insert(container);
  RestoreState(container);
  if (container->state != ContainerState::kExited)
    return;
  if (container->config->host.auto_remove)
    AutoRemove(container);
  if (!container->config->OwnedByUpdates() &&
      StartsWithDaemon(container->config->host.restart, container->rests)) {
    env_.loop->Post([this, container] {
      StartIdle(container, [this, container](Result<> started) {
        if (!started && container->state == ContainerState::kExited)
          AwaitRestart(container, std::chrono::nanoseconds(0));
      });
    });
  }
}

void Containers::RestoreState(const ContainerPtr& container) {
  const std::string& run_directory = container->run_directory;
  if (auto status = ReadRunStatus(run_directory))
    container->status = std::move(*status);
  auto launched = ReadLaunchRecord(run_directory);
  if (container->status.started_nanos == 0 && launched)
    container->status.started_nanos = launched->written_nanos;

  if (auto ended = ReadExitRecord(run_directory)) {
    container->state = ContainerState::kExited;
    container->status.exit_code = ended->code;
    container->status.oom_killed = ended->oom;
    container->status.finished_nanos = ended->unix_nanos;
    return;
  }
  if (launched) {
    container->state =
        container->status.paused ? ContainerState::kPaused : ContainerState::kRunning;
    container->status.pid = launched->pid;
    container->status.exit_code = 0;
    container->status.finished_nanos = 0;
    HoldInit(*container);
    RestoreNetworks(container);
    return Watch(container);
  }
  Result<bool> was_lost = RemoveLostCgroup(CgroupPath(container->id));
  if (!was_lost)
    LogWarning("container ", container->name, ", ignoring: ", was_lost.error().message());
  if (container->status.finished_nanos != 0) {  // ended, then another start failed
    container->state = ContainerState::kExited;
    return;
  }
  bool ran_before = PathExists(Cat(container->directory, "/upper")) &&
                    !PathExists(Cat(container->directory, "/", kUnstartedMarker));
  bool start_failed = container->status.exit_code != 0;
  if (!ran_before || start_failed)
    return;
  container->state = ContainerState::kExited;
  container->status.exit_code = kUnknownExitCode;
  container->status.error = was_lost && *was_lost
                                ? Cat("its files in ", run_directory, " are damaged")
                                : "the machine was restarted";
  container->status.finished_nanos = UnixNanosNow();
  SaveStatus(*container);
}

}  // namespace wherry::engine
