// How the fleet tool reaches the broker, and with which key it signs: an INI file and options.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "ota/fleet/session.h"
#include "ota/key.h"

namespace wherry::cli {

struct FleetSettings {
  ota::FleetSession::Options session;
  std::string rollout_key;  // file
};

// Options that every command of `fleet` has.
std::span<const Option> FleetConnectionOptions();
// Of --config, else $WHERRY_FLEET, else /etc/wherry/fleet.conf where it is there; other options
// over it.
Result<FleetSettings> ReadFleetSettings(const Arguments& arguments);

// What a command of `fleet` gets.
struct FleetCall {
  const Arguments& arguments;
  FleetSettings& settings;
  Loop& loop;

  bool json() const { return arguments.Value("format") == "json"; }
  Result<ota::PrivateKey> Key() const;
};

}  // namespace wherry::cli
