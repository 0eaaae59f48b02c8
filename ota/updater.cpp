#include "ota/updater.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr uint32_t kEvidenceMode = 0600;

// A file that is not what it should be makes room for a new one, under a name that says so.
Result<> SetAside(const std::string& path) {
  std::string aside = Cat(path, ".damaged");
  TRY(RemoveTree(aside));
  // Until the new one takes its name the old one has it: no record would mean that nothing was
  // here.
  if (link(path.c_str(), aside.c_str()) != 0 && rename(path.c_str(), aside.c_str()) != 0)
    return FailSys("rename", path);
  return {};
}

std::string ShortName(const Digest& digest) {
  return digest.hex().substr(0, 12);
}

}  // namespace

std::unique_ptr<Updater> Updater::Open(Environment environment) {
  std::string path = Cat(environment.directory, "/record");
  Result<RecordFile> record = RecordFile::Open(path);
  Result<UpdateState> state = UpdateState();
  if (record && !record->payload().empty())
    state = UpdateState::Parse(record->payload());
  if (record && state) {
    std::unique_ptr<Updater> updater(new Updater(std::move(environment), *std::move(record)));
    updater->state_ = *std::move(state);
    return updater;
  }
  const Error& error = record ? state.error() : record.error();
  environment.log(Cat(error.message(), "; the releases that are here tell what is to run"));
  if (Result<> aside = SetAside(path); !aside)
    environment.log(aside.error().message());
  std::unique_ptr<Updater> updater(new Updater(std::move(environment), RecordFile(path)));
  UpdateState recovered = updater->Recovered();
  if (recovered == UpdateState())
    return updater;
  if (Result<> kept = updater->Enter(recovered); !kept) {
    updater->environment_.log(kept.error().message());
    updater->state_ = recovered;
  }
  return updater;
}

Updater::Updater(Environment environment, RecordFile record)
    : environment_(std::move(environment)),
      record_(std::move(record)),
      files_(Cat(environment_.directory, "/releases")) {}

// Which of the releases was active is lost with the record. The newest is tried, so that one that
// is no good is found out; the one before it may be gone back to.
UpdateState Updater::Recovered() const {
  std::vector<Release> releases;
  for (const Digest& digest : files_.List()) {
    if (Result<Release> release = files_.Read(digest))
      releases.push_back(*std::move(release));
  }
  std::ranges::sort(releases, std::ranges::greater(), &Release::sequence);
  UpdateState state;
  if (releases.empty())
    return state;
  state.state = State::kConfirmed;
  state.deployment = "recovered";
  state.active = releases[0].digest;
  if (releases.size() > 1) {
    state.state = State::kTrial;
    state.previous = releases[1].digest;
    state.floor = releases[1].floor;
  }
  return state;
}

Updater::~Updater() {
  Stop();
}

void Updater::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Updater::BeginStop() {
  std::lock_guard lock(mutex_);
  stop_ = true;
  *cancel_ = true;
  changed_.notify_all();
}

void Updater::Stop() {
  BeginStop();
  if (thread_.joinable())
    thread_.join();
}

// --- Wishes

Result<> Updater::Apply(const Release& release, std::string_view envelope,
                        std::string_view deployment) {
  std::lock_guard lock(mutex_);
  bool known = state_.deployment == deployment && state_.state != State::kNone;
  if (known && release.digest != state_.active && release.digest != state_.candidate)
    return Fail(Errc::kDenied, Cat("deployment ", deployment,
                                   " is here already, with another release: give this one a name "
                                   "of its own"));
  if (known)
    return Fail(Errc::kNotModified,
                Cat("deployment ", deployment, " is here already, as ", StateName(state_.state)));
  if (state_.state == State::kArmed)
    return Fail(Errc::kConflict, "the device restarts to try a release: wait for that");
  if (state_.state == State::kTrial || state_.state == State::kReverting)
    return Fail(Errc::kConflict, Cat("release ", ShortName(state_.active), " is in ",
                                     StateName(state_.state), ": wait for its end, or cancel it"));
  if (release.sequence < state_.floor)
    return Fail(Errc::kDenied, Cat("release ", release.name, " has sequence ", release.sequence,
                                   ", below this device's floor of ", state_.floor));
  if (!state_.active.none()) {
    Result<Release> active = files_.Read(state_.active);
    if (active && active->sequence >= release.sequence)
      return Fail(Errc::kDenied, Cat("release ", release.name, " has sequence ", release.sequence,
                                     ", and the active one has ", active->sequence,
                                     ": only a newer one is taken (a rollback goes back)"));
  }
  TRY(files_.Keep(release.digest, envelope));
  UpdateState next = state_;
  next.state = State::kFetching;
  next.deployment = deployment;
  next.candidate = release.digest;
  next.starts = 0;
  next.code = Code::kNone;
  next.reason.clear();
  next.next_slot.reset();
  next.boot.clear();
  next.proceeds = false;
  return Enter(std::move(next));
}

// It may be said beforehand.
Result<> Updater::Proceed() {
  std::lock_guard lock(mutex_);
  if (!BeforeTrial(state_.state))
    return Fail(Errc::kConflict, Cat("no update waits: the state is ", StateName(state_.state)));
  UpdateState next = state_;
  next.proceeds = true;
  return Enter(std::move(next));
}

Result<> Updater::Cancel(Code code, std::string_view reason) {
  std::lock_guard lock(mutex_);
  UpdateState next = state_;
  if (state_.state == State::kTrial)
    next.state = State::kReverting;
  else if (BeforeTrial(state_.state))
    next.state = State::kCancelled;
  else
    return Fail(Errc::kConflict,
                Cat("no update is in progress: the state is ", StateName(state_.state)));
  next.starts = 0;
  next.code = code;
  next.reason = reason;
  return Enter(std::move(next));
}

Result<> Updater::Confirm() {
  std::lock_guard lock(mutex_);
  if (state_.state != State::kTrial)
    return Fail(Errc::kConflict,
                Cat("no release is in trial: the state is ", StateName(state_.state)));
  if (!switched_)
    return Fail(Errc::kConflict, "the apps of the release do not run yet: wait, or cancel it");
  UpdateState confirmed = TRY(Confirmed(state_));
  return Enter(std::move(confirmed));
}

// The floor stays below the release before, or there would be no way back to it. The boot loader is
// told first: a cut in between goes on with a trial that can still be taken back.
Result<UpdateState> Updater::Confirmed(UpdateState state) const {
  if (environment_.slots != nullptr && state.slot)
    TRY(environment_.slots->Commit(*state.slot, board::TheOther::kStays));
  else if (state.slot != state.previous_slot)
    return Fail(Errc::kUnsupported, "the slots of this device are not known any more");
  Result<Release> active = files_.Read(state.active);
  Result<Release> previous = files_.Read(state.previous);
  if (active) {
    uint64_t floor = previous ? std::min(active->floor, previous->sequence) : active->floor;
    state.floor = std::max(state.floor, floor);
  }
  state.state = State::kConfirmed;
  return state;
}

Result<> Updater::Rollback(const Digest& expected) {
  std::lock_guard lock(mutex_);
  if (!expected.none() && expected == state_.active && state_.AtRest())
    return Fail(Errc::kNotModified, Cat("release ", ShortName(expected), " is active already"));
  if (!state_.AtRest())
    return Fail(Errc::kConflict,
                Cat("an update is in progress (", StateName(state_.state), "): cancel it instead"));
  if (state_.previous.none())
    return Fail(Errc::kConflict, "there is no release before this one to go back to");
  if (!expected.none() && expected != state_.previous)
    return Fail(Errc::kConflict, Cat("the release before this one is ", ShortName(state_.previous),
                                     ", not ", ShortName(expected)));
  if (environment_.slots == nullptr && state_.slot != state_.previous_slot)
    return Fail(Errc::kUnsupported, "the slots of this device are not known any more");
  UpdateState next = state_;
  next.state = State::kReverting;
  next.starts = 0;
  next.code = Code::kRequested;
  next.reason = "a rollback was asked for";
  return Enter(std::move(next));
}

Updater::Status Updater::Now() const {
  std::lock_guard lock(mutex_);
  return {state_, record_.number(), waiting_, settled_};
}

std::optional<Release> Updater::FindRelease(const Digest& digest) const {
  std::lock_guard lock(mutex_);
  Result<Release> release = files_.Read(digest);
  return release ? std::optional(*std::move(release)) : std::nullopt;
}

std::string Updater::Evidence() const {
  return ReadFile(Cat(environment_.directory, "/evidence.json")).value_or("");
}

// --- The record

Result<> Updater::Enter(UpdateState next) {
  if (next.state != state_.state)
    next.spent_s = 0;
  TRY(record_.Store(next.ToJson()));
  state_ = std::move(next);
  waiting_.clear();
  settled_ = false;
  switched_ = false;
  *cancel_ = true;
  changed_.notify_all();
  return {};
}

// From a step: counts only when nothing was wished meanwhile. What cannot be recorded is not done:
// the step is made again after a while.
bool Updater::Move(Number from, UpdateState next) {
  Result<> entered;
  {
    std::lock_guard lock(mutex_);
    if (record_.number() != from)
      return false;
    entered = Enter(std::move(next));
  }
  if (entered)
    return true;
  environment_.log(entered.error().message());
  BackOff(from, Cat("the update's record cannot be written: ", entered.error().message()));
  return false;
}

// What a workload says when the process ends is no verdict on a release.
bool Updater::Stopping() const {
  std::lock_guard lock(mutex_);
  return stop_;
}

void Updater::GiveUp(UpdateState state, Number number, Code code, std::string reason) {
  if (Stopping())
    return;
  state.state = State::kRejected;
  state.code = code;
  state.reason = std::move(reason);
  Move(number, std::move(state));
}

void Updater::TakeBack(UpdateState state, Number number, Code code, std::string reason) {
  {
    std::lock_guard lock(mutex_);
    if (stop_ || record_.number() != number)
      return;
  }
  if (std::optional<Release> release = FindRelease(state.active)) {
    std::string evidence = environment_.workload->Evidence(*release);
    Result<> saved = ReplaceFile(Cat(environment_.directory, "/evidence.json"), evidence,
                                 kEvidenceMode, Durability::kPersistent);
    if (!saved)
      environment_.log(Cat("what was seen of the release is lost: ", saved.error().message()));
  }
  state.state = State::kReverting;
  state.starts = 0;
  state.code = code;
  state.reason = std::move(reason);
  Move(number, std::move(state));
}

}  // namespace wherry::ota
