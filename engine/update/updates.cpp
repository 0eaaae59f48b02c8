#include "engine/update/updates.h"

#include "board/restart.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/update/bundle.h"
#include "net/registry/credentials.h"
#include "net/tls/time_floor.h"
#include "ota/release_artifact.h"

namespace wherry::engine {

namespace {

constexpr size_t kHistoryLines = 50;
constexpr size_t kHistoryBytes = 256 << 10;
constexpr uint32_t kHistoryMode = 0600;

std::string Directory(const Config& config) {
  return Cat(config.root, "/ota");
}
std::string HistoryFile(const Config& config) {
  return Cat(Directory(config), "/history");
}

std::string Short(const Digest& digest) {
  return digest.none() ? std::string("none") : digest.hex().substr(0, 12);
}

void WriteState(JsonWriter& json, const ota::UpdateState& update) {
  json.Field("state", ota::StateName(update.state)).Field("deployment", update.deployment);
  json.Field("code", ota::CodeName(update.code)).Field("reason", update.reason);
}

}  // namespace

Updates::Updates(const Environment& environment)
    : env_(environment),
      workload_({environment.loop, environment.containers, environment.execs, environment.images,
                 environment.volumes, environment.networks, environment.config->update_credentials,
                 &ended_}) {}

// A mistake in the configuration of the board must not keep the apps from running.
void Updates::OpenSlots() {
  Result<std::unique_ptr<board::Slots>> slots = board::Slots::Open(env_.config->slots);
  if (!slots) {
    no_os_ = Cat("[board]: ", slots.error().message());
    LogError(no_os_);
  } else if (*slots == nullptr) {
    no_os_ = "this device has no slots for one ([board] slots = none)";
  } else {
    os_ = std::make_unique<OsUpdate>(env_.config, *std::move(slots));
  }
}

Result<> Updates::CheckSupported(const ota::Release& release) const {
  if (release.os && os_ == nullptr)
    return Fail(Errc::kUnsupported,
                Cat("release ", release.name, " has an operating system: ", no_os_));
  return {};
}

Result<std::unique_ptr<Updates>> Updates::Open(const Environment& environment) {
  std::unique_ptr<Updates> updates(new Updates(environment));
  updates->OpenSlots();
  updates->updater_ = ota::Updater::Open(
      {.directory = Directory(*environment.config),
       .workload = &updates->workload_,
       .slots = updates->os_.get(),
       .no_slots = {updates->no_os_, board::BootId(),
                    [root = environment.config->root] { return board::Restart({}, root); }},
       .report = [self = updates.get()](const ota::Report& report) { self->OnReport(report); },
       .log = [](std::string_view line) { LogWarning("update: ", line); }});
  if (auto active = updates->updater_->FindRelease(updates->updater_->Now().update.active))
    tls::RaiseTimeFloor(active->issued);
  return updates;
}

Updates::~Updates() {
  Stop();
}

void Updates::Start() {
  updater_->Start();
}

void Updates::Stop() {
  if (ended_)
    return;
  updater_->BeginStop();
  ended_ = true;
  updater_->Stop();
}

Result<ota::Release> Updates::Verify(std::string_view envelope) const {
  const std::string& directory = env_.config->update_keys;
  std::vector<ota::PublicKey> keys = TRY(ota::LoadKeys(directory));
  if (keys.empty())
    return Fail(Errc::kDenied, Cat("this device trusts nobody's releases: put the public key they "
                                   "are signed with into ",
                                   directory, " as NAME.pub"));
  ota::Release release = TRY(ota::OpenRelease(envelope, keys, "the release"));
  tls::RaiseTimeFloor(release.issued);
  TRY(CheckSupported(release));
  return release;
}

Result<Digest> Updates::Take(const ota::Release& release, std::string_view envelope,
                             std::string deployment) {
  if (deployment.empty())
    deployment = RandomId().substr(0, 16);
  TRY(updater_->Apply(release, envelope, deployment));
  return release.digest;
}

Result<std::string> Updates::Pull(std::string_view reference) const {
  registry::Reference from = TRY(registry::Reference::Parse(reference));
  auto credentials =
      TRY(registry::CredentialsFile(env_.config->update_credentials).Get(from.registry));
  return ota::PullRelease(env_.config->registry, from, std::move(credentials), &ended_);
}

Result<Digest> Updates::Apply(std::string_view release, std::string deployment) {
  std::string text(Trim(release));
  if (!text.starts_with('{'))
    text = TRY(Pull(text));
  ota::Release verified = TRY(Verify(text));
  return Take(verified, text, std::move(deployment));
}

Result<Digest> Updates::ApplyBundle(ByteSource& bundle, std::string deployment,
                                    const CancelFlag& cancel) {
  std::string envelope = TRY(ReadBundledRelease(bundle));
  ota::Release release = TRY(Verify(envelope));
  // What the updater would say afterwards, when the images were already written.
  std::optional<ota::Release> active = updater_->FindRelease(updater_->Now().update.active);
  if (active && active->sequence >= release.sequence)
    return Take(release, envelope, std::move(deployment));
  std::vector<registry::Reference> images;
  for (const ota::App& app : release.apps)
    images.push_back(app.image);
  TRY_CTX("the bundle", env_.images->LoadPinned(bundle, images, cancel));
  return Take(release, envelope, std::move(deployment));
}

void Updates::OnReport(const ota::Report& report) {
  const ota::UpdateState& update = report.update;
  const Digest& subject = update.candidate.none() ? update.active : update.candidate;
  LogInfo("update ", update.deployment, ": ", ota::StateName(update.state), ", release ",
          Short(subject), update.reason.empty() ? "" : ": ", update.reason);
  if (update.AtRest())
    Remember(report);
  if (listener_)
    listener_(report);
}

void Updates::Remember(const ota::Report& report) {
  std::lock_guard lock(history_mutex_);
  std::string file = HistoryFile(*env_.config);
  std::string old = ReadFile(file, kHistoryBytes).value_or("");
  std::string number = Cat("{\"number\":", report.number, ",");
  if (old.starts_with(number))
    return;
  JsonWriter json;
  json.Object().Field("number", report.number).Field("time", FormatRfc3339Nano(UnixNanosNow()));
  WriteState(json, report.update);
  json.Field("active", report.update.active.none() ? "" : report.update.active.hex()).End();
  std::string text = Cat(json.text(), "\n");
  size_t lines = 1;
  for (std::string_view line : Split(old, '\n')) {
    if (!line.empty() && lines++ < kHistoryLines)
      Append(text, line, "\n");
  }
  if (auto kept = ReplaceFile(file, text, kHistoryMode, Durability::kPersistent); !kept)
    LogWarning("update: the history is not kept: ", kept.error().message());
}

std::string Updates::HistoryJson() const {
  std::lock_guard lock(history_mutex_);
  std::string text = ReadFile(HistoryFile(*env_.config), kHistoryBytes).value_or("");
  JsonWriter json;
  json.Array();
  for (std::string_view line : Split(text, '\n')) {
    if (JsonDocument::Parse(line, "history"))
      json.Raw(line);
  }
  json.End();
  return json.Take();
}

void Updates::WriteRelease(JsonWriter& json, std::string_view key, const Digest& digest) {
  std::optional<ota::Release> release = updater_->FindRelease(digest);
  if (digest.none() || !release) {
    json.Key(key).Null();
    return;
  }
  json.Key(key).Object().Field("digest", digest.string()).Field("name", release->name);
  json.Field("sequence", release->sequence).End();
}

void Updates::WriteApps(JsonWriter& json, const Digest& active) {
  json.Key("apps").Array();
  std::optional<ota::Release> release = updater_->FindRelease(active);
  for (const ota::App& app : release ? release->apps : std::vector<ota::App>()) {
    json.Object().Field("name", app.name).Field("image", app.image.Familiar());
    Result<ReleaseWorkload::Seen> seen = workload_.Look(app);
    if (seen && seen->container) {
      json.Field("container", seen->id).Field("state", StateName(seen->state));
      json.Field("health", HealthName(seen->health.status)).Field("restarts", seen->restarts);
    } else {
      json.Field("state", "absent");
    }
    json.End();
  }
  json.End();
}

std::string Updates::StatusJson() {
  ota::Updater::Status status = updater_->Now();
  JsonWriter json;
  json.Object();
  WriteState(json, status.update);
  json.Field("number", status.number).Field("settled", status.settled);
  json.Field("waiting", status.waiting).Field("floor", status.update.floor);
  json.Field("starts", status.update.starts);
  if (os_ != nullptr)
    json.Field("slot", std::string_view(os_->Booted() == board::Slot::kA ? "A" : "B"));
  WriteRelease(json, "active", status.update.active);
  WriteRelease(json, "previous", status.update.previous);
  WriteRelease(json, "candidate", status.update.candidate);
  WriteApps(json, status.update.active);
  json.End();
  return json.Take();
}

std::string Updates::LocalStatusJson() {
  std::string json = StatusJson();
  JsonWriter text;
  std::lock_guard lock(fleet_mutex_);
  text.String(fleet_);
  json.insert(1, Cat("\"fleet\":", text.text(), ","));
  return json;
}

std::optional<board::Slot> Updates::BootedSlot() const {
  return os_ ? std::optional(os_->Booted()) : std::nullopt;
}

void Updates::TellFleet(std::string text) {
  std::lock_guard lock(fleet_mutex_);
  fleet_ = std::move(text);
}

Result<ReleaseWorkload::Seen> Updates::LookAt(std::string_view app) {
  std::optional<ota::Release> release = updater_->FindRelease(updater_->Now().update.active);
  const ota::App* found = release ? release->FindApp(app) : nullptr;
  if (found == nullptr)
    return Fail(Errc::kNotFound, Cat("the active release has no app '", app, "'"));
  ReleaseWorkload::Seen seen = TRY(workload_.Look(*found));
  if (!seen.container)
    return Fail(Errc::kNotFound, Cat("app ", app, " has no container"));
  return seen;
}

}  // namespace wherry::engine
