// What the fleet wants of a device or a group: a release by deployment, how far it is opened,
// whether it is held or revoked. Signed by a rollout key, and with the release inside, signed by a
// release key: who can open a wave cannot make a release. docs/mqtt.md has the format. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "ota/dsse.h"
#include "ota/key.h"

namespace wherry::ota {

inline constexpr std::string_view kDesiredType = "application/vnd.wherry.desired.v1+json";

struct Desired {
  std::string deployment;
  uint64_t sequence = 0;  // of this document: a device ignores lower ones for the same topic
  uint32_t gate = 1000;   // for this many of 1000 devices
  bool hold = false;      // no device begins
  bool revoke = false;    // devices not yet in trial drop it, those in trial go back
  // The signed document, or the registry's artifact that has it, by digest; empty with revoke.
  std::string release;

  // kDenied when no key of `keys` has signed it; kInvalid for what is no such document.
  static Result<Desired> Open(std::string_view envelope, std::span<const PublicKey> keys,
                              std::string_view what);
  static Result<Desired> Parse(std::string_view json, std::string_view what);
  std::string ToJson() const;

  // Whether the wave is open for a device: each has a place of its own in each deployment.
  bool OpenFor(std::string_view device) const;
};

}  // namespace wherry::ota
