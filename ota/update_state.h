// Where an update is: what the record holds, and what is reported of it. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "board/slot.h"
#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::ota {

enum class State : uint8_t {
  kNone,       // no release was ever here
  kFetching,   // the candidate's images are being brought
  kVerified,   // all is here and created
  kWaiting,    // may not begin yet: for a window, an app's lock, somebody's word
  kArmed,      // the boot loader tries the candidate's slot next; the device restarts
  kTrial,      // the candidate runs (is `active`), and is watched
  kConfirmed,  // nothing to do
  kReverting,  // on the way back to `previous`
  kReverted,   // nothing to do; the candidate was no good
  kRejected,   // nothing to do; the candidate never ran
  kCancelled,  // the same, on request
  kBothBad,    // neither the new nor the old release works; waits for another
};

// "TRIAL": in records, events and answers.
std::string_view StateName(State state);

// From the moment a release was taken until its trial is prepared.
constexpr bool BeforeTrial(State state) {
  return state == State::kFetching || state == State::kVerified || state == State::kWaiting;
}

// Why an update did not go through, for programs; the sentence beside it is for people.
enum class Code : uint8_t {
  kNone,
  kHealth,     // an app failed
  kDeadline,   // not confirmed in time
  kStarts,     // the trial was begun too often: crashes or power cuts
  kFetch,      // an image cannot be had
  kSpace,      // there is no room
  kCreate,     // the engine refuses a container of the release
  kSwitch,     // an app cannot be started
  kRequested,  // somebody asked for it
  kRevoked,    // the fleet took it back
  kFellBack,   // the device came up on the other slot
};
std::string_view CodeName(Code code);  // "E_HEALTH"

struct UpdateState {
  State state = State::kNone;
  std::string deployment;  // the attempt's name: one release may be tried again under another
  Digest active;           // of releases; none() when there is none
  Digest previous;         // what a rollback goes to
  Digest candidate;        // while it is brought, and after it was given up
  uint32_t starts = 0;     // of the trial
  uint64_t floor = 0;      // releases below it are refused
  uint64_t spent_s = 0;    // in this state, of uptime, over restarts
  Code code = Code::kNone;
  std::string reason;
  // Where the operating system of a release is. None: no release has brought one yet.
  std::optional<board::Slot> slot;           // of the active one
  std::optional<board::Slot> previous_slot;  // of the one before
  std::optional<board::Slot> next_slot;      // of the candidate, when its own was written
  std::string boot;       // the boot in which the candidate's slot was last to be armed
  bool proceeds = false;  // somebody's word: it waits for nothing more

  bool AtRest() const;  // nothing happens by itself

  std::string ToJson() const;
  // kInvalid for what ToJson has not written.
  static Result<UpdateState> Parse(std::string_view json);
  bool operator==(const UpdateState&) const = default;
};

}  // namespace wherry::ota
