// What the updater's thread does in each state.
#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "core/base/text.h"
#include "core/base/time.h"
#include "net/tls/time_floor.h"
#include "ota/updater.h"

namespace wherry::ota {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// A trial's time is on flash this often, so that power cuts do not give it for ever.
constexpr nanoseconds kCountPeriod = seconds(60);
// The wait between attempts: doubled, from one period up to this many.
constexpr int kMaxPeriods = 300;

// What waiting cannot mend, when images are brought or containers created.
constexpr std::array kFinal = {Errc::kInvalid,      Errc::kNotFound,    Errc::kDenied,
                               Errc::kUnauthorized, Errc::kUnsupported, Errc::kCorrupt,
                               Errc::kConflict,     Errc::kExists};

bool IsFinal(Errc code) {
  return std::ranges::find(kFinal, code) != kFinal.end();
}

// The release before is the active one again; nothing is left to go back to.
UpdateState WentBack(UpdateState state, State end) {
  state.state = end;
  state.candidate = std::exchange(state.active, std::exchange(state.previous, Digest()));
  state.slot = std::exchange(state.previous_slot, std::nullopt);
  return state;
}

// Of a switch: a new app that is waited for beside the old one is no good.
Code CodeOf(const Error& error) {
  if (error.code() == Errc::kUnavailable)
    return Code::kHealth;
  return error.code() == Errc::kTimeout ? Code::kDeadline : Code::kSwitch;
}

// Seconds, of something that is counted in them.
int64_t Whole(nanoseconds time) {
  return std::chrono::duration_cast<seconds>(time).count();
}

}  // namespace

void Updater::Run() {
  for (;;) {
    UpdateState state;
    Number number = 0;
    {
      std::lock_guard lock(mutex_);
      if (stop_)
        return;
      *cancel_ = false;
      state = state_;
      number = record_.number();
    }
    if (!slot_checked_) {
      CheckSlot(state, number);
      continue;
    }
    if (!start_counted_) {
      CountStart(state, number);
      continue;
    }
    if (number != announced_)
      Announce(state, number);
    Step(state, number);
  }
}

// A start in the middle of a trial is one more try, written down before anything of it starts: a
// release that takes the device down with it is given up.
void Updater::CountStart(UpdateState state, Number number) {
  if (state.state != State::kTrial && state.state != State::kReverting) {
    start_counted_ = true;
    return;
  }
  std::optional<Release> release = FindRelease(state.active);
  uint32_t limit = release ? release->trial.starts : Trial().starts;
  if (++state.starts <= limit) {
    Move(number, std::move(state));
  } else if (state.state == State::kTrial) {
    TakeBack(state, number, Code::kStarts,
             Cat("the trial was begun ", limit, " times and never came to its end"));
  } else {
    state.reason += Cat("; the way back was begun ", limit, " times");
    Move(number, WentBack(std::move(state), State::kBothBad));
  }
  start_counted_ = Now().number != number;
}

void Updater::Announce(const UpdateState& state, Number number) {
  announced_ = number;
  healthy_since_.reset();
  counted_ = Uptime();
  delay_ = milliseconds(0);
  NoteDeadline(state);
  if (state.state != State::kTrial && state.state != State::kArmed)
    held_.clear();  // something came in between
  if (state.state != State::kNone)
    environment_.report({number, state});
  if (state.AtRest() || state.state == State::kFetching)
    Tidy(state);
}

void Updater::Step(const UpdateState& state, Number number) {
  if (MustRestart(state))
    return RestartDevice(state, number);
  const Digest& goal = state.state == State::kReverting ? state.previous : state.active;
  if (running_ != goal)
    return Arrange(state, number, goal);
  switch (state.state) {
    case State::kFetching:
      return Fetch(state, number);
    case State::kVerified:
    case State::kWaiting:
      return BeginWhenAllowed(state, number);
    case State::kArmed:  // a restart, above
      return Wait(number, environment_.period);
    case State::kTrial:
      return Watch(state, number);
    case State::kReverting:
      return Revert(state, number);
    case State::kNone:
    case State::kConfirmed:
    case State::kReverted:
    case State::kRejected:
    case State::kCancelled:
    case State::kBothBad:
      return Rest(number);
  }
}

void Updater::Arrange(const UpdateState& state, Number number, const Digest& goal) {
  // What may still run, also where a trial was confirmed before all of it had ended.
  Digest from = state.state == State::kReverting ? state.active : state.previous;
  running_.reset();  // a switch that fails leaves neither
  Result<> switched = Switch(from, goal);
  held_.clear();
  if (switched) {
    running_ = goal;
    std::lock_guard lock(mutex_);
    switched_ = record_.number() == number;
    return;
  }
  if (Stopping())
    return;
  std::string reason = switched.error().message();
  environment_.log(reason);
  if (state.state == State::kTrial)
    return TakeBack(state, number, CodeOf(switched.error()), reason);
  if (BeforeTrial(state.state)) {
    // The next release is the remedy: it must not wait for this one.
    running_ = goal;
    return;
  }
  std::optional<Release> release = FindRelease(goal);
  if (state.state == State::kReverting &&
      Spent(state) >= (release ? release->trial.deadline : Trial().deadline)) {
    UpdateState next = WentBack(state, State::kBothBad);
    next.reason += Cat("; and the release before cannot be started: ", reason);
    Move(number, std::move(next));
    return;
  }
  KeepSpent(state, number);
  BackOff(number, std::move(reason));
}

void Updater::Fetch(const UpdateState& state, Number number) {
  std::optional<Release> release = FindRelease(state.candidate);
  if (!release)
    return GiveUp(state, number, Code::kFetch, "the release's document is damaged or gone");
  auto fail = [&](Code code, const Error& error) {
    if (IsFinal(error.code()))
      return GiveUp(state, number, code, error.message());
    BackOff(number, error.message());
  };
  if (Result<> fetched = environment_.workload->Fetch(*release, cancel_); !fetched)
    return fail(Code::kFetch, fetched.error());
  if (Result<> created = environment_.workload->Create(*release); !created)
    return fail(Code::kCreate, created.error());
  UpdateState next = state;
  next.state = State::kVerified;
  if (release->os) {
    if (GaveUpPrevious(state, number))
      return;
    Result<std::optional<board::Slot>> written = WriteSlot(state, *release);
    if (!written)
      return fail(Code::kFetch, written.error());
    next.next_slot = *written;
  }
  Move(number, std::move(next));
}

void Updater::BeginWhenAllowed(UpdateState state, Number number) {
  std::string obstacle = Obstacle(state);
  if (obstacle.empty()) {
    state.reason.clear();
    return state.next_slot ? Arm(std::move(state), number) : BeginTrial(std::move(state), number);
  }
  if (state.state == State::kVerified) {
    state.state = State::kWaiting;
    state.reason = std::move(obstacle);
    Move(number, std::move(state));
    return;
  }
  KeepSpent(state, number);
  {
    std::lock_guard lock(mutex_);
    if (record_.number() == number)
      waiting_ = std::move(obstacle);
  }
  Wait(number, environment_.period);
}

// Why the candidate may not begin now, as a sentence; empty when it may.
std::string Updater::Obstacle(const UpdateState& state) {
  std::optional<Release> candidate = FindRelease(state.candidate);
  const Policy policy = candidate ? candidate->policy : Policy();
  bool patient = policy.patience == seconds(0) || state.state != State::kWaiting ||
                 Spent(state) < policy.patience;
  if (state.proceeds || policy.start == Policy::Start::kForce || !patient)
    return {};
  if (policy.start == Policy::Start::kHold)
    return "somebody has to say that it may begin (wherry ota proceed)";
  tls::Moment now = tls::JudgedAt();
  if (now.at_least && !policy.windows.empty())
    return "it has windows, and the time is not known: no time server has answered yet";
  std::time_t clock = now.unix_seconds;
  std::tm local{};
  localtime_r(&clock, &local);
  if (!IsOpen(policy.windows, local))
    return "none of its windows is open";
  held_.clear();  // a lock of our own would be in the way
  std::optional<Release> active = FindRelease(state.active);
  if (!active)
    return {};
  Result<std::vector<UniqueFd>> held = environment_.workload->Hold(*active);
  if (!held)
    return held.error().message();
  held_ = *std::move(held);
  return {};
}

void Updater::BeginTrial(UpdateState state, Number number) {
  state.state = State::kTrial;
  state.previous = state.active;
  state.previous_slot = state.slot;
  state.active = state.candidate;
  state.candidate = Digest();
  if (state.next_slot)
    state.slot = std::exchange(state.next_slot, std::nullopt);
  state.starts = 1;
  Move(number, std::move(state));
}

void Updater::Watch(const UpdateState& state, Number number) {
  std::optional<Release> release = FindRelease(state.active);
  if (!release)
    return TakeBack(state, number, Code::kHealth, "the release's document is damaged or gone");
  Health health = environment_.workload->Check(*release);
  if (health.state == Health::State::kFailed)
    return TakeBack(state, number, Code::kHealth, std::move(health.reason));
  nanoseconds now = Uptime();
  if (health.state != Health::State::kHealthy) {
    healthy_since_.reset();
  } else if (!healthy_since_) {
    healthy_since_ = now;
  }
  if (healthy_since_ && now - *healthy_since_ >= release->trial.soak) {
    Result<UpdateState> confirmed = UpdateState();
    {
      std::lock_guard lock(mutex_);
      confirmed = Confirmed(state);
    }
    if (!confirmed)
      return BackOff(number, confirmed.error().message());
    Move(number, *std::move(confirmed));
    return;
  }
  if (Spent(state) >= release->trial.deadline) {
    return TakeBack(state, number, Code::kDeadline,
                    Cat("not confirmed within ", release->trial.deadline.count(), " s: ",
                        health.reason.empty() ? "not healthy for long enough" : health.reason));
  }
  KeepSpent(state, number);
  Wait(number, environment_.period);
}

void Updater::Revert(UpdateState state, Number number) {
  Health health{Health::State::kHealthy, ""};
  std::optional<Release> release = FindRelease(state.previous);
  if (release)
    health = environment_.workload->Check(*release);
  seconds deadline = release ? release->trial.deadline : Trial().deadline;
  if (health.state == Health::State::kStarting && Spent(state) < deadline) {
    KeepSpent(state, number);
    return Wait(number, environment_.period);
  }
  if (Stopping())
    return;
  bool well = health.state == Health::State::kHealthy;
  if (!well)
    state.reason += Cat("; and the release before is not well: ", health.reason);
  Move(number, WentBack(std::move(state), well ? State::kReverted : State::kBothBad));
}

// What a release had goes when it neither runs nor may be gone back to; its document last, so that
// a cut in between is made good.
void Updater::Tidy(const UpdateState& state) {
  std::vector<Digest> digests = {state.active, state.previous};
  if (!state.AtRest())
    digests.push_back(state.candidate);
  std::vector<Release> kept;
  for (const Digest& digest : digests) {
    if (std::optional<Release> release = FindRelease(digest))
      kept.push_back(*std::move(release));
    else if (!digest.none())
      return;  // what it shares with others is not known
  }
  for (const Digest& digest : files_.List()) {
    if (std::ranges::find(digests, digest) != digests.end())
      continue;
    Result<> removed;
    if (std::optional<Release> gone = FindRelease(digest))
      removed = environment_.workload->Remove(*gone, kept);
    std::lock_guard lock(mutex_);
    if (record_.number() != announced_)
      return;  // it may be wanted again
    if (removed)
      removed = files_.Remove(digest);
    if (!removed)
      environment_.log(Cat("tidying up after an update: ", removed.error().message()));
  }
}

Result<> Updater::Switch(const Digest& from, const Digest& to) {
  std::optional<Release> before = FindRelease(from);
  std::optional<Release> after = FindRelease(to);
  if (!to.none() && !after)
    return Fail(Errc::kNotFound,
                Cat("the document of release ", to.hex().substr(0, 12), " is damaged or gone"));
  return environment_.workload->Switch(before ? &*before : nullptr, after ? &*after : nullptr,
                                       cancel_);
}

nanoseconds Updater::Spent(const UpdateState& state) const {
  return seconds(state.spent_s) + (Uptime() - counted_);
}

// Not a change of state: nobody is told. Of a trial and the way back, which have a deadline.
void Updater::KeepSpent(const UpdateState& state, Number number) {
  if (state.AtRest() || Uptime() - counted_ < kCountPeriod)
    return;
  std::lock_guard lock(mutex_);
  if (record_.number() != number)
    return;
  UpdateState next = state;
  next.spent_s = static_cast<uint64_t>(Whole(Spent(state)));
  if (!record_.Store(next.ToJson()))
    return;  // later
  state_ = std::move(next);
  counted_ = Uptime();
  announced_ = record_.number();
}

void Updater::Wait(Number number, milliseconds time) {
  std::unique_lock lock(mutex_);
  auto changed = [&] { return stop_ || record_.number() != number; };
  if (time == milliseconds::max())
    changed_.wait(lock, changed);
  else
    changed_.wait_for(lock, time, changed);
}

void Updater::Rest(Number number) {
  RenewBoots();
  {
    std::lock_guard lock(mutex_);
    settled_ = record_.number() == number;
  }
  Wait(number, milliseconds::max());
}

void Updater::BackOff(Number number, std::string waiting) {
  {
    std::lock_guard lock(mutex_);
    if (record_.number() == number)
      waiting_ = std::move(waiting);
  }
  delay_ = std::clamp(delay_ * 2, environment_.period, environment_.period * kMaxPeriods);
  Wait(number, delay_);
}

}  // namespace wherry::ota
