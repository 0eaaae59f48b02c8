// What an update moves: the containers of a release. ota knows them only through this interface;
// the engine implements it with its own, tests with files. All calls block and may be repeated from
// any state a crash or a power cut can leave.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "ota/release.h"

namespace wherry::ota {

// Set to end what takes long.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct Health {
  enum class State : uint8_t {
    kStarting,  // not yet known
    kHealthy,
    kFailed,  // will not become healthy by waiting
  };
  State state = State::kStarting;
  std::string reason;  // one sentence; of kStarting what is waited for
};

class Workload {
 public:
  virtual ~Workload() = default;

  // The release's images are complete and durable. Nothing that runs is touched. Ends with
  // kCancelled soon after `cancel` is set; kNoSpace before the first byte when it cannot fit.
  virtual Result<> Fetch(const Release& release, const CancelFlag& cancel) = 0;

  // Its networks, volumes and containers exist, none of them started.
  virtual Result<> Create(const Release& release) = 0;

  // No app of `active` minds being stopped as long as the descriptors are open: they are its locks
  // (App::lock). kConflict naming the one that does.
  virtual Result<std::vector<UniqueFd>> Hold(const Release& active) = 0;

  // The apps of `to` run, those of `from` that are not the same ones do not. Null: none. An app
  // that cannot be started is an error; one that starts and fails is Check's matter, unless it is
  // to be handed over to: kUnavailable, kTimeout, and the old one is as it was. Ends with
  // kCancelled soon after `cancel` is set.
  virtual Result<> Switch(const Release* from, const Release* to, const CancelFlag& cancel) = 0;

  // Of all apps together: failed when one has, healthy when all are. Restarts are counted from the
  // last Switch.
  virtual Health Check(const Release& release) = 0;

  // What was seen of a release that is about to be taken back: for each app the last lines of its
  // log, exit codes, memory peak. JSON.
  virtual std::string Evidence(const Release& release) = 0;

  // Removes what `gone` had, containers and images, and none of `kept` has too. Networks and
  // volumes stay: they may hold what somebody wants.
  virtual Result<> Remove(const Release& gone, std::span<const Release> kept) = 0;
};

}  // namespace wherry::ota
