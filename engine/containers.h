// All containers of the engine and everything that can be done with them. Loop thread only; what
// blocks runs on workers, so most operations answer through a callback, on the loop thread, exactly
// once, possibly before they return. The work is split by theme: containers_create.cpp, _start.cpp,
// _restart.cpp, _stop.cpp, _remove.cpp, _restore.cpp, _networks.cpp.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "engine/config.h"
#include "engine/container.h"
#include "engine/container_launch.h"
#include "engine/events.h"
#include "engine/images.h"
#include "engine/network/networks.h"
#include "engine/network/resolver.h"
#include "engine/volumes.h"

namespace wherry::engine {

struct ContainerCounts {
  size_t running = 0;
  size_t paused = 0;
  size_t stopped = 0;
};

// What a worker has made ready for a start.
struct Preparation {
  shim::LaunchSpec spec;
  std::shared_ptr<Volumes::Fill> fill;         // null: no volume is filled
  std::shared_ptr<Networks::Sandbox> sandbox;  // null: the runtime makes the network namespace
};

template <class T = void>
using Done = std::move_only_function<void(Result<T>)>;

class Containers {
 public:
  // All outlive this object.
  struct Environment {
    const Config* config;
    Loop* loop;
    WorkerPool* workers;
    EventBus* events;
    Images* images;
    Volumes* volumes;
    Networks* networks;
    Resolver* resolver;
  };
  using EventAttributes = std::vector<std::pair<std::string, std::string>>;

  explicit Containers(const Environment& environment);
  ~Containers();
  Containers(const Containers&) = delete;
  Containers& operator=(const Containers&) = delete;

  // Blocking, once, before the API is served: reads all records, finds running containers again,
  // learns how others ended. A damaged record costs that container and a line in the log. Fails
  // only when the directories cannot be used.
  Result<> Restore();

  // By full ID, name (with or without slash) or unique ID prefix. kNotFound "No such container: x";
  // kInvalid when several IDs begin so.
  Result<ContainerPtr> Find(std::string_view reference) const;
  std::vector<ContainerPtr> All() const;  // newest first
  ContainerCounts Counts() const;
  std::vector<ImageUser> ImageUsers() const;
  // The IDs of containers, running or not, that have it among their mounts.
  std::vector<std::string> UsersOfVolume(std::string_view name) const;
  // The IDs of containers, running or not, that are to be in it.
  std::vector<std::string> UsersOfNetwork(const Network& network) const;

  struct CreateRequest {
    std::string name;      // empty: made up
    std::string platform;  // "linux/arm64"; empty: the image's
    std::string body;      // JSON of POST /containers/create
  };
  struct Created {
    std::string id;
    std::vector<std::string> warnings;
  };
  // kNotFound for the image; kConflict when the name is taken; kInvalid and kUnsupported for the
  // body.
  void Create(CreateRequest request, Done<Created> done);

  // kNotModified when it runs already. A command that does not exist or cannot be executed is
  // kInvalid; the exit code (126, 127, 125 for all else) is then in the container's status.
  void Start(ContainerPtr container, Done<> done);

  struct StopOptions {
    std::string signal;  // empty: the container's
    std::optional<int>
        timeout_seconds;  // absent: the container's, then the daemon's; negative: wait for ever
  };
  // Answers when the container has ended. kNotModified when it does not run.
  void Stop(ContainerPtr container, StopOptions options, Done<> done);
  // Changes limits, of a running container at once, and the restart policy; `body` is the JSON of
  // POST /containers/{id}/update (containers_update.cpp). kUnsupported for other members.
  void Update(ContainerPtr container, std::string body, Done<> done);
  // Sends a signal ("" is SIGKILL); with SIGKILL answers when the container has ended. kConflict
  // when it does not run.
  void Kill(ContainerPtr container, std::string_view signal, Done<> done);
  // Stops it when it runs, then starts it.
  void Restart(ContainerPtr container, StopOptions options, Done<> done);
  void Pause(ContainerPtr container, Done<> done);
  void Unpause(ContainerPtr container, Done<> done);
  Result<> Resize(const ContainerPtr& container, uint16_t rows, uint16_t columns);
  void Rename(ContainerPtr container, std::string_view new_name, Done<> done);

  // Calls back once: at once when the condition holds already, or with the exit code when it
  // becomes true. Edge-triggered. The identifier is for CancelWait; 0 when the callback has been
  // called.
  uint64_t Wait(const ContainerPtr& container, WaitCondition condition,
                std::move_only_function<void(const WaitResult&)> callback);
  void CancelWait(const ContainerPtr& container, uint64_t id);

  // Also of a container that runs. kConflict when it is there already; kDenied for one of the
  // host's network, without a network, or in another container's.
  void Connect(ContainerPtr container, EndpointRequest request, Done<> done);
  // kNotFound when it is not there.
  void Disconnect(ContainerPtr container, std::string_view reference, Done<> done);

  enum class Force : uint8_t { kNo, kYes };
  enum class TheirVolumes : uint8_t { kKeep, kRemove };  // those without a name
  // kConflict for a running container without force. With force it is killed first.
  void Remove(ContainerPtr container, Force force, TheirVolumes volumes, Done<> done);

  // Runs `operation` when no other operation on the container is in progress; none begins before
  // Unlock, which has to follow. The container may end meanwhile.
  void Lock(const ContainerPtr& container, Loop::Callback operation);
  void Unlock(const ContainerPtr& container) { Release(container); }

  // Streams of the container now, or of its next run when it does not run.
  void Attach(const ContainerPtr& container, std::shared_ptr<AttachSession> session);

  void Publish(const Container& container, std::string action, EventAttributes extra = {});

  // For further processes of a container (engine/execs.h).
  Launcher& launcher() { return launcher_; }
  const std::string& shim_path() const { return shim_path_; }
  std::string CgroupPath(std::string_view id) const;

 private:
  // Runs `work` on a worker and then `done` on the loop.
  template <class T>
  void OnWorker(std::move_only_function<Result<T>()> work, Done<T> done) {
    env_.workers->Run([loop = env_.loop, work = std::move(work), done = std::move(done)]() mutable {
      auto result = std::make_shared<Result<T>>(work());
      loop->Post([result, done = std::move(done)]() mutable { done(std::move(*result)); });
    });
  }
  // Runs `operation` when nothing holds the container; it takes its own hold (++holds) if it goes
  // on in the background.
  void WhenIdle(const ContainerPtr& container, Loop::Callback operation);
  void Release(const ContainerPtr& container);  // gives back one hold
  void NotifyWaiters(Container& container, std::span<const WaitCondition> conditions);
  void SaveStatus(const Container& container);
  std::string Directory(std::string_view id) const;
  std::string RunDirectory(std::string_view id) const;

  // containers_create.cpp
  Result<std::string> ReserveName(std::string_view wanted);
  void Insert(ContainerPtr container);

  // containers_start.cpp
  void StartIdle(const ContainerPtr& container, Done<> done);
  void LaunchPrepared(const ContainerPtr& container, const Preparation& prepared, Done<> done);
  void Launched(const ContainerPtr& container, LaunchOutcome outcome, Done<> done);
  void StartFailed(const ContainerPtr& container, int exit_code, const Error& error, Done<> done);
  void HoldInit(Container& container);
  void Watch(const ContainerPtr& container);
  void Ended(const ContainerPtr& container, const ExitRecord& record);
  void Departed(const ContainerPtr& container);
  void AwaitShimEnd(const ContainerPtr& container);
  void ShimGone(const ContainerPtr& container);
  void ShimLost(const ContainerPtr& container, std::string_view why);

  // containers_networks.cpp
  Networks::Plan NetworkPlan(const Container& container) const;
  Result<UniqueFd> NetnsOf(const Container& container) const;
  Result<ContainerPtr> SharedNetwork(const ContainerConfig& config) const;
  void EnterNetworks(const ContainerPtr& container, Networks::Sandbox& sandbox);
  void LeaveNetworks(const ContainerPtr& container, Loop::Callback then);
  void RestoreNetworks(const ContainerPtr& container);
  void PublishNetwork(const Container& container, std::string action, std::string_view network_id);
  void ChangeEndpoints(const ContainerPtr& container, ContainerConfig config,
                       std::move_only_function<Result<>()> work, Done<> done);

  // containers_restart.cpp
  bool RestartByPolicy(const ContainerPtr& container);
  void AwaitRestart(const ContainerPtr& container, std::chrono::nanoseconds run);
  void RunAgain(const ContainerPtr& container);
  void EndRestarting(Container& container);
  void Remember(const ContainerPtr& container, bool rests);

  // containers_stop.cpp
  Result<> Signal(Container& container, int signal_number);
  void Freeze(const ContainerPtr& container, bool freeze, Done<> done);
  void KillAfter(const ContainerPtr& container, std::optional<std::chrono::seconds> timeout,
                 Done<> done);

  // containers_remove.cpp
  void RemoveIdle(const ContainerPtr& container, TheirVolumes volumes, Done<> done);
  void RemoveVolumes(const Container& container);
  void AutoRemove(const ContainerPtr& container);

  // containers_restore.cpp
  void RestoreOne(const std::string& id);
  void RestoreState(const ContainerPtr& container);

  Environment env_;
  Launcher launcher_;
  std::string shim_path_;
  std::map<std::string, ContainerPtr, std::less<>> by_id_;
  std::map<std::string, ContainerPtr, std::less<>> by_name_;
  std::set<std::string, std::less<>> reserved_names_;  // of creations and renames in progress
  uint64_t next_waiter_ = 1;
};

}  // namespace wherry::engine
