// The commands of `fleet`, by file.
#pragma once

#include <string>
#include <string_view>

#include "cli/fleet/settings.h"
#include "ota/fleet/rollout.h"
#include "ota/release.h"

namespace wherry::cli {

// A release's document, read and understood, though not verified: devices do that.
struct FleetRelease {
  std::string wanted;  // as Desired::release: its document, compact, or what --from says
  ota::Release release;
};
// Of the command's first word.
Result<FleetRelease> ReadFleetRelease(const FleetCall& call);
// --group; kInvalid without it, or for what is no level of a topic.
Result<std::string> GroupOf(const FleetCall& call);
// --dep, else "NAME-SEQUENCE" of the release.
Result<std::string> DeploymentOf(const FleetCall& call, const ota::Release& release);
Result<uint64_t> NumberOf(const FleetCall& call, std::string_view option, uint64_t fallback,
                          uint64_t most);

// A session that ends with the result `synced` makes of what is retained; an error without a
// connection.
Result<int> Once(FleetCall& call, std::string group,
                 std::function<void(ota::FleetSession&, std::function<void(Result<int>)>)> synced);

Result<int> FleetDevices(FleetCall& call);  // show.cpp
Result<int> FleetWatch(FleetCall& call);
Result<int> FleetAssign(FleetCall& call);  // assign.cpp
Result<int> FleetRollback(FleetCall& call);
Result<int> FleetRollout(FleetCall& call);  // rollout.cpp
Result<int> FleetResume(FleetCall& call);
Result<int> FleetPause(FleetCall& call);
Result<int> FleetAbort(FleetCall& call);

// Tells what is new of a rollout: a line for the wave and the counts, one for each failure.
class RolloutTeller {
 public:
  explicit RolloutTeller(bool json) : json_(json) {}
  void Tell(const ota::Rollout& rollout, const ota::FleetView& view);

 private:
  bool json_;
  std::string last_;
  std::set<std::string, std::less<>> told_;  // devices
};

void PrintLine(std::string_view text);

}  // namespace wherry::cli
