// The containers of a release: what an update moves, as the updater sees it. An app's container is
// called NAME-<8 hex of its identity>, and two releases with the same app share it. The updater,
// not the restart policy, starts such containers after the daemon's start, and `container prune`
// leaves them alone. Blocking: the updater's thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/base/loop.h"
#include "engine/containers.h"
#include "engine/execs.h"
#include "engine/images.h"
#include "engine/network/networks.h"
#include "engine/volumes.h"
#include "ota/workload.h"

namespace wherry::engine {

class ReleaseWorkload final : public ota::Workload {
 public:
  // All outlive this object.
  struct Environment {
    Loop* loop;
    Containers* containers;
    Execs* execs;
    Images* images;
    Volumes* volumes;
    Networks* networks;
    std::string credentials_file;    // Docker's config.json; may be absent
    const std::atomic<bool>* ended;  // the loop answers nothing any more
  };
  explicit ReleaseWorkload(const Environment& environment) : env_(environment) {}

  Result<> Fetch(const ota::Release& release, const CancelFlag& cancel) override;
  Result<> Create(const ota::Release& release) override;
  Result<std::vector<UniqueFd>> Hold(const ota::Release& active) override;
  Result<> Switch(const ota::Release* from, const ota::Release* to,
                  const CancelFlag& cancel) override;
  ota::Health Check(const ota::Release& release) override;
  std::string Evidence(const ota::Release& release) override;
  Result<> Remove(const ota::Release& gone, std::span<const ota::Release> kept) override;

  // What is known of an app's container at one moment.
  struct Seen {
    ContainerPtr container;  // null: there is none
    std::string id;
    std::string directory;
    ContainerState state = ContainerState::kCreated;
    RunStatus status;
    RunStatus last_end;
    int64_t restarts = 0;
    RestartMode restart = RestartMode::kNo;
    Health health;
    std::string network_mode;
    bool has_fixed_address = false;  // or MAC address
    std::vector<PortRequest> ports;
  };
  Result<Seen> Look(const ota::App& app);

 private:
  Result<> FetchApp(const ota::App& app, const CancelFlag& cancel);
  Result<> CreateShared(const ota::Release& release);
  Result<> CreateApp(const ota::App& app);
  Result<> StartApp(const ota::Release& release, const ota::App& app, const CancelFlag& cancel);
  Result<> Run(const ota::App& app);
  Result<> AwaitReady(const ota::Release& release, const ota::App& app, const CancelFlag& cancel);
  Result<> Stop(const Seen& seen);
  Result<UniqueFd> OpenLock(const ota::App& app, int64_t pid);
  Result<> RemoveImage(const ota::App& app);
  // release_handover.cpp
  struct Handover;  // handover.h
  Result<Handover> PlanHandover(const ota::Release* from, const ota::Release& to);
  bool IsAside(const Seen& seen) const;
  Result<> CheckHandover(const ota::App& app);
  Result<> StartBeside(const ota::App& app);
  Result<> AwaitWell(const Handover& handover, const ota::App& app, const CancelFlag& cancel);
  Result<> CheckPorts(const ota::App& app);
  Result<> Prepare(Handover& handover, const ota::App& app, const CancelFlag& cancel);
  Result<> HandOver(Handover& handover);
  Result<> CheckWell(const Handover& handover);
  Result<> Drain(const Handover& handover, const CancelFlag& cancel);
  Result<> FinishHandover(Handover& handover, const CancelFlag& cancel);
  Result<> Pause(const CancelFlag& cancel, std::chrono::milliseconds time);
  ota::Health CheckApp(const ota::Release& release, const ota::App& app);
  Result<> RunCheck(const Seen& seen, const ota::AppCheck& check);
  Result<> RunCommand(const Seen& seen, const std::vector<std::string>& command);

  Environment env_;
  // Of the release that is being brought: nothing else holds its images before its containers do.
  std::map<Digest, std::shared_ptr<ImagePin>> pins_;
};

// The last lines of a container's log, at most `most` bytes of them; `directory` is the
// container's.
std::string LogTail(const std::string& directory, int64_t lines, size_t most);

// "web-0a1b2c3d"
std::string AppContainerName(const ota::App& app);

}  // namespace wherry::engine
