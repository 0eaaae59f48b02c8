// The operating system's part of an update: the slot that does not run is written, tried once
// together with the apps, and committed with them, or the device restarts into the other one.
#include "core/base/text.h"
#include "core/base/time.h"
#include "ota/updater.h"

namespace wherry::ota {

namespace {

using board::Slot;
using board::TheOther;
using std::chrono::seconds;

constexpr seconds kRestartPatience{180};

int64_t UptimeSeconds() {
  return std::chrono::duration_cast<seconds>(Uptime()).count();
}

}  // namespace

// What the slot that runs says of the update, after each start and until nothing is left to say.
void Updater::CheckSlot(const UpdateState& state, Number number) {
  OsSlots* slots = environment_.slots;
  slot_checked_ = true;
  if (slots == nullptr)
    return CheckWithoutSlots(state, number);
  Slot booted = slots->Booted();
  bool may_be_trial = state.state == State::kVerified || state.state == State::kWaiting ||
                      state.state == State::kArmed;
  slot_checked_ = false;
  if (may_be_trial && state.next_slot == booted) {
    UpdateState trial = state;
    trial.slot = board::Other(booted);  // unknown before the first such update
    BeginTrial(std::move(trial), number);
    start_counted_ = Now().number != number;
  } else if (state.state == State::kArmed && state.boot != slots->BootId()) {
    FellBack(state, number);
  } else if (state.state != State::kArmed && state.state != State::kReverting && state.slot &&
             *state.slot != booted) {
    FellBack(state, number);
  } else {
    slot_checked_ = true;
  }
}

// An operating system that cannot tell the slots could not be kept by telling the boot loader, nor
// could the next one be written. It is left the way it came: the boot loader was told to try it
// once.
void Updater::CheckWithoutSlots(const UpdateState& state, Number number) {
  std::string reason =
      Cat("the slots of this device are not known any more: ", environment_.no_slots.why,
          "; it restarts into the slot before");
  if (state.state == State::kArmed && state.boot != environment_.no_slots.boot) {
    UpdateState reverted = state;
    reverted.state = State::kReverted;
    reverted.code = Code::kFellBack;
    reverted.reason = std::move(reason);
    reverted.next_slot.reset();
    leaves_ = Move(number, std::move(reverted));
  } else if (state.state == State::kTrial && state.slot != state.previous_slot) {
    leaves_ = true;
    TakeBack(state, number, Code::kFellBack, std::move(reason));
  }
}

void Updater::FellBack(UpdateState state, Number number) {
  Slot booted = environment_.slots->Booted();
  std::string reason =
      Cat("slot ", board::Letter(board::Other(booted)),
          " did not stay up: the device came back on slot ", board::Letter(booted));
  if (state.state == State::kArmed) {
    // Nothing of the candidate ever was the active one.
    state.state = State::kReverted;
    state.code = Code::kFellBack;
    state.reason = std::move(reason);
    state.next_slot.reset();
    Move(number, std::move(state));
  } else if (state.previous_slot == booted && !state.previous.none()) {
    TakeBack(std::move(state), number, Code::kFellBack, std::move(reason));
  } else {
    // No release belongs to this slot. What is active has to do.
    environment_.log(reason);
    state.slot = booted;
    Move(number, std::move(state));
  }
}

// The slot that is about to be written may have the operating system a rollback would need.
bool Updater::GaveUpPrevious(const UpdateState& state, Number number) {
  if (environment_.slots == nullptr || state.previous.none() || !state.previous_slot ||
      *state.previous_slot == environment_.slots->Booted())
    return false;
  UpdateState next = state;
  next.previous = Digest();
  next.previous_slot.reset();
  Move(number, std::move(next));
  return true;
}

// None: it runs already.
Result<std::optional<Slot>> Updater::WriteSlot(const UpdateState& state, const Release& release) {
  OsSlots* slots = environment_.slots;
  if (slots == nullptr)
    return Fail(Errc::kUnsupported, "this device has no slots for an operating system");
  std::optional<Release> active = FindRelease(state.active);
  if (active && active->os && active->os->digest == release.os->digest && state.slot)
    return std::nullopt;
  TRY_CTX("os", slots->Write(*release.os, cancel_));
  return board::Other(slots->Booted());
}

// Each boot that arms is counted before it does: a slot that takes the device down before its trial
// is recorded is given up, too.
void Updater::Arm(UpdateState state, Number number) {
  OsSlots* slots = environment_.slots;
  if (slots == nullptr)
    return GiveUp(std::move(state), number, Code::kSwitch, "this device has no slots any more");
  if (state.boot != slots->BootId()) {
    std::optional<Release> release = FindRelease(state.candidate);
    uint32_t limit = release ? release->trial.starts : Trial().starts;
    if (++state.starts > limit) {
      std::string reason = Cat("slot ", board::Letter(*state.next_slot), " was armed ", limit,
                               " times and its trial never began");
      return GiveUp(std::move(state), number, Code::kStarts, std::move(reason));
    }
    state.boot = slots->BootId();
    Move(number, std::move(state));
    return;
  }
  Result<> armed;
  {
    std::lock_guard lock(mutex_);
    if (record_.number() != number)
      return;
    // No wish comes in between: what is armed is on record.
    armed = slots->Arm(*state.next_slot);
    if (armed) {
      state.state = State::kArmed;
      armed = Enter(std::move(state));
    }
  }
  if (!armed) {
    environment_.log(armed.error().message());
    BackOff(number, armed.error().message());
  }
}

bool Updater::MustRestart(const UpdateState& state) const {
  if (leaves_)
    return state.AtRest();
  if (environment_.slots != nullptr && state.state == State::kReverting)
    return state.previous_slot && *state.previous_slot != environment_.slots->Booted();
  return state.state == State::kArmed;
}

void Updater::RestartDevice(const UpdateState& state, Number number) {
  OsSlots* slots = environment_.slots;
  Result<> done;
  if (slots != nullptr && state.state == State::kReverting)
    done = slots->Commit(*state.previous_slot, TheOther::kBad);
  if (done) {
    // In order, as far as they let themselves be stopped.
    if (Result<> stopped = Switch(state.active, Digest()); !stopped)
      environment_.log(stopped.error().message());
    running_.reset();
    if (Stopping())
      return;
    done = slots != nullptr ? slots->Restart() : environment_.no_slots.restart();
  }
  if (done)
    return Wait(number, kRestartPatience);
  leaves_ = false;  // then the apps run here until somebody else restarts it
  environment_.log(Cat("the device cannot be restarted: ", done.error().message()));
  BackOff(number, done.error().message());
}

// A boot loader that counts boots is told that this one was good.
void Updater::RenewBoots() {
  OsSlots* slots = environment_.slots;
  if (slots == nullptr || boots_renewed_)
    return;
  boots_renewed_ = true;
  if (Result<> renewed = slots->Commit(slots->Booted(), TheOther::kStays); !renewed)
    environment_.log(
        Cat("the boot loader is not told that this boot was good: ", renewed.error().message()));
}

void Updater::NoteDeadline(const UpdateState& state) {
  bool of_slots = state.slot && state.previous_slot && *state.slot != *state.previous_slot;
  int64_t at = 0;
  if (MustRestart(state)) {
    at = UptimeSeconds() + (kRestartPatience + environment_.grace).count();
  } else if (state.state == State::kTrial && of_slots) {
    std::optional<Release> release = FindRelease(state.active);
    seconds deadline = release ? release->trial.deadline : Trial().deadline;
    at = UptimeSeconds() + (deadline + environment_.grace).count() -
         static_cast<int64_t>(state.spent_s);
  }
  overdue_at_ = at;
}

bool Updater::Overdue() const {
  int64_t at = overdue_at_;
  return at != 0 && UptimeSeconds() > at;
}

}  // namespace wherry::ota
