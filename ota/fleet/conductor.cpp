#include "ota/fleet/conductor.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::ota {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPeriod{500};  // between two looks at the devices
// Outcomes alone are written down this often: they are in the devices' reports, too.
constexpr std::chrono::seconds kKeepPeriod{5};
constexpr std::chrono::seconds kReconnect{2};
constexpr const char* kTakenOver = "another controller has taken the rollout over";
constexpr int64_t kNanos = 1'000'000'000;
// Devices take packets of 64 KiB, topic and properties included.
constexpr size_t kMaxDesired = 63 << 10;

int64_t UnixSeconds() {
  return UnixNanosNow() / kNanos;
}

bool SamePlan(const RolloutPlan& a, const RolloutPlan& b) {
  return a.deployment.release == b.deployment.release && a.waves == b.waves &&
         a.abort_percent == b.abort_percent && a.least == b.least && a.soak == b.soak;
}

std::string Title(const Rollout& rollout) {
  return Cat("rollout ", rollout.plan.deployment.name, " of group ", rollout.plan.group);
}

}  // namespace

uint64_t NextSequence(uint64_t before) {
  return std::max(before + 1, static_cast<uint64_t>(std::max<int64_t>(UnixSeconds(), 0)));
}

Result<std::string> SignDesired(const PrivateKey& key, const Desired& desired) {
  Envelope envelope{std::string(kDesiredType), desired.ToJson(), {}};
  TRY(envelope.Sign(key));
  std::string text = envelope.ToJson();
  if (text.size() > kMaxDesired) {
    return Fail(Errc::kInvalid,
                Cat("the release is too large for the broker's way: ", text.size(),
                    " bytes with signatures, and devices take ", kMaxDesired,
                    "; put it into a registry (wherry release push) and name it with --from"));
  }
  return text;
}

Conductor::Conductor(Loop* loop, const PrivateKey* key, Options options, Handlers handlers)
    : loop_(loop), key_(key), options_(std::move(options)), handlers_(std::move(handlers)) {}

// Each connection begins anew: what was published on the one before and not acknowledged must not
// be sent again over what another controller has said meanwhile.
void Conductor::Connect() {
  reconnect_ = 0;
  untold_ = 0;
  FleetView view = session_ ? std::move(session_->view()) : FleetView();
  session_ = std::make_unique<FleetSession>(
      loop_, options_.session,
      FleetSession::Handlers{.synced = [this] { OnSynced(); },
                             .changed = [this] { Look(); },
                             .lost = [this](const Error& error) { OnLost(error); }});
  session_->view() = std::move(view);
  session_->Start();
}

void Conductor::OnLost(const Error& error) {
  if (ended_)
    return;
  session_->Stop();
  if (error.code() == Errc::kConflict)
    return End(Fail(Errc::kConflict, kTakenOver));
  if (error.code() == Errc::kDenied || error.code() == Errc::kUnauthorized)
    return End(std::unexpected(error.Clone()));
  handlers_.lost(error);
  if (reconnect_ == 0)
    reconnect_ = loop_->After(kReconnect, [this] { Connect(); });
}

Result<std::unique_ptr<Conductor>> Conductor::Create(Loop* loop, const PrivateKey* key,
                                                     Options options, Handlers handlers) {
  PublicKey own = TRY(key->Public());
  std::string group = options.session.group;
  options.session.client.client_id = Cat("wherry-fleet-", options.session.tenant, "-", group);
  std::unique_ptr<Conductor> conductor(
      new Conductor(loop, key, std::move(options), std::move(handlers)));
  conductor->keys_.push_back(std::move(own));
  return conductor;
}

Conductor::~Conductor() {
  loop_->Cancel(timer_);
  loop_->Cancel(reconnect_);
}

// The result of a call of the client, which is not to be destroyed inside of it.
void Conductor::End(Result<> result) {
  if (std::exchange(ended_, true))
    return;
  auto shared = std::make_shared<Result<>>(std::move(result));
  loop_->Post([this, shared, alive = std::weak_ptr(alive_)] {
    if (alive.expired())
      return;
    session_->Stop();
    handlers_.done(std::move(*shared));
  });
}

void Conductor::OnSynced() {
  if (ended_)
    return;
  Result<> adopted = Adopt();
  if (!adopted)
    return End(std::move(adopted));
  Look();
}

// What is retained says where the rollout is; a broker that has lost it is told again.
Result<> Conductor::Adopt() {
  std::optional<Rollout> before;
  if (!session_->rollout().empty())
    before = TRY(Rollout::Open(session_->rollout(), keys_));
  if (adopted_) {
    if (before && before->epoch > rollout_->epoch)
      return Fail(Errc::kConflict, kTakenOver);
    published_.clear();
    return PublishAll();
  }
  TRY(TakeDesired());
  if (options_.wish == Wish::kRun)
    TRY(Begin(std::move(before)));
  else if (before)
    TRY(Continue(*std::move(before)));
  else
    return Fail(Errc::kNotFound, Cat("group ", options_.session.group, " has no rollout"));
  adopted_ = true;
  for (const Rollout::Refused& one : rollout_->refused)
    session_->view().Remember(one.device,
                              {rollout_->plan.deployment.name, "REJECTED", one.code, one.reason});
  ++rollout_->epoch;
  return PublishAll();
}

Result<> Conductor::TakeDesired() {
  if (session_->desired().empty())
    return {};
  // Whatever it is, ours comes after it.
  if (auto known = Desired::Open(session_->desired(), keys_, session_->desired_topic()))
    desired_ = *std::move(known);
  return {};
}

Result<> Conductor::Begin(std::optional<Rollout> before) {
  const DeploymentId& wanted = options_.plan.deployment;
  bool same = before && before->plan.deployment.name == wanted.name;
  if (before && !same && !before->ended())
    return Fail(Errc::kConflict,
                Cat(Title(*before), " is ", PhaseName(before->phase), ": abort it first"));
  if (!same) {
    rollout_.emplace();
    rollout_->plan = options_.plan;
    rollout_->opened = UnixSeconds();
    rollout_->epoch = before ? before->epoch : 0;
    return {};
  }
  if (!SamePlan(before->plan, options_.plan))
    return Fail(Errc::kConflict,
                Cat(Title(*before),
                    " was begun with another release or plan: name this one differently (--dep)"));
  if (before->phase != Phase::kRunning)
    return Fail(
        Errc::kConflict,
        Cat(Title(*before), " is ", PhaseName(before->phase),
            before->phase == Phase::kPaused ? ": `wherry fleet resume` lets it go on" : ""));
  rollout_ = *std::move(before);
  return {};
}

Result<> Conductor::Continue(Rollout before) {
  if (before.ended())
    return Fail(Errc::kConflict, Cat(Title(before), " is ", PhaseName(before.phase), " already"));
  bool release_here =
      desired_.deployment == before.plan.deployment.name && !desired_.release.empty();
  if (options_.wish == Wish::kResume && !release_here)
    return Fail(Errc::kNotFound,
                "the broker has lost the release: run the rollout command again with its file");
  options_.release = desired_.release;
  rollout_ = std::move(before);
  constexpr Phase kPhases[] = {Phase::kRunning, Phase::kRunning, Phase::kPaused, Phase::kAborted};
  rollout_->phase = kPhases[static_cast<size_t>(options_.wish)];
  rollout_->reason = options_.reason;
  return {};
}

// All outcomes at once, at most every half a second.
void Conductor::Look() {
  if (ended_ || !adopted_ || timer_ != 0)
    return;
  if (session_->synced()) {
    NoteRefusals();
    RolloutCounts counts = Count(*rollout_, session_->view(), Uptime());
    bool keep = counts.ended() != kept_.ended && Uptime() - kept_.at >= kKeepPeriod;
    rollout_->counts = counts;
    if (Advance(*rollout_, counts, UnixSeconds()) || keep) {
      rollout_->counts = Count(*rollout_, session_->view(), Uptime());
      if (Result<> published = PublishAll(); !published)
        return End(std::move(published));
    }
    // What is told is at the broker.
    if (untold_ == 0)
      handlers_.changed(*this);
    if (rollout_->phase != Phase::kRunning && untold_ == 0)
      return End({});
  }
  timer_ = loop_->After(kPeriod, [this] {
    timer_ = 0;
    Look();
  });
}

void Conductor::NoteRefusals() {
  const std::string& name = rollout_->plan.deployment.name;
  for (const auto& [device, seen] : session_->view().devices()) {
    if (seen.event.deployment != name || seen.event.state != "REJECTED" ||
        seen.deployment == name || rollout_->refused.size() == Rollout::kMaxRefused)
      continue;
    if (std::ranges::find(rollout_->refused, device, &Rollout::Refused::device) ==
        rollout_->refused.end())
      rollout_->refused.push_back({device, seen.event.code, seen.event.reason});
  }
}

Result<std::string> Conductor::Sign(std::string_view type, std::string payload) const {
  Envelope envelope{std::string(type), std::move(payload), {}};
  TRY(envelope.Sign(*key_));
  return envelope.ToJson();
}

// The rollout first: what is opened was written down before.
Result<> Conductor::PublishAll() {
  std::string text = TRY(Sign(kRolloutType, rollout_->ToJson()));
  kept_ = {rollout_->counts.ended(), Uptime()};
  ++untold_;
  TRY(session_->Publish(session_->rollout_topic(), std::move(text), true,
                        [this](const Result<>& result) { Told(result); }));
  return PublishDesired();
}

Result<> Conductor::PublishDesired() {
  Desired wanted;
  wanted.deployment = rollout_->plan.deployment.name;
  wanted.gate = rollout_->gate();
  wanted.hold = rollout_->phase == Phase::kPaused;
  wanted.revoke = rollout_->phase == Phase::kAborted;
  if (!wanted.revoke)
    wanted.release = options_.release;
  wanted.sequence = desired_.sequence;
  bool same = wanted.ToJson() == desired_.ToJson();
  if (same && !published_.empty())
    return {};
  if (!same)
    wanted.sequence = NextSequence(desired_.sequence);
  published_ = TRY(SignDesired(*key_, wanted));
  desired_ = std::move(wanted);
  ++untold_;
  return session_->Publish(session_->desired_topic(), published_, true,
                           [this](const Result<>& result) { Told(result); });
}

void Conductor::Told(const Result<>& result) {
  --untold_;
  if (!result)
    return End(std::unexpected(result.error().Clone()));
  if (rollout_->phase != Phase::kRunning)
    Look();
}

}  // namespace wherry::ota
