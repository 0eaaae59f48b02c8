#include "engine/update/release_workload.h"

#include <algorithm>
#include <set>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/builder/await.h"
#include "engine/update/handover.h"
#include "net/registry/credentials.h"

namespace wherry::engine {

namespace {

// How long an app waits for those it comes after.
constexpr std::chrono::seconds kReadyPatience{60};
constexpr std::chrono::milliseconds kReadyPeriod{100};
constexpr std::string_view kIdentityLabel = "io.wherry.identity";

// The body of the create request: the release's, with the image and our labels.
std::string CreateBody(const ota::App& app) {
  // It was parsed with the release.
  JsonDocument config = JsonDocument::Parse(app.config, app.name).value();
  JsonWriter json;
  json.Object();
  for (JsonValue member : config.root()) {
    if (!EqualsIgnoreCase(member.key(), "Labels"))
      json.Field(member.key(), member);
  }
  json.Field("Image", app.image.Canonical()).Key("Labels").Object();
  for (JsonValue label : config["Labels"])
    json.Field(label.key(), label);
  json.Field(kAppLabel, app.name).Field(kIdentityLabel, app.Identity().hex()).End().End();
  return json.Take();
}

}  // namespace

std::string AppContainerName(const ota::App& app) {
  return Cat(app.name, "-", app.Identity().hex().substr(0, 8));
}

Result<ReleaseWorkload::Seen> ReleaseWorkload::Look(const ota::App& app) {
  return Await<Seen>(env_.loop, *env_.ended,
                     [containers = env_.containers, name = AppContainerName(app)](Done<Seen> done) {
                       Seen seen;
                       if (Result<ContainerPtr> found = containers->Find(Cat("/", name))) {
                         const Container& container = **found;
                         seen.container = *found;
                         seen.id = container.id;
                         seen.directory = container.directory;
                         seen.state = container.state;
                         seen.status = container.status;
                         seen.last_end = container.last_end;
                         seen.restarts = container.restart_count;
                         seen.restart = container.config->host.restart.mode;
                         seen.health = container.health;
                         seen.network_mode = container.config->host.network_mode;
                         seen.ports = container.config->host.ports;
                         seen.has_fixed_address = std::ranges::any_of(
                             container.config->endpoints, [](const EndpointRequest& endpoint) {
                               return endpoint.address != net::Ipv4{} || endpoint.mac.has_value();
                             });
                       }
                       done(std::move(seen));
                     });
}

Result<> ReleaseWorkload::FetchApp(const ota::App& app, const CancelFlag& cancel) {
  std::string name = app.image.Canonical();
  if (!env_.images->Open(name)) {
    PullRequest request;
    request.reference = app.image;
    request.cancel = cancel;
    request.credentials =
        TRY(registry::CredentialsFile(env_.credentials_file).Get(app.image.registry));
    TRY(env_.images->Pull(std::move(request), [](const Progress&) { return true; }));
  }
  OpenImage image = TRY(env_.images->Open(name));
  pins_.insert_or_assign(image.manifest_digest, std::move(image.pin));
  return {};
}

Result<> ReleaseWorkload::Fetch(const ota::Release& release, const CancelFlag& cancel) {
  pins_.clear();
  for (const ota::App& app : release.apps)
    TRY_CTX(Cat("app ", app.name), FetchApp(app, cancel));
  return {};
}

Result<> ReleaseWorkload::CreateShared(const ota::Release& release) {
  for (const ota::Shared& shared : release.networks) {
    if (env_.networks->Find(shared.name))
      continue;
    JsonDocument config = TRY(JsonDocument::Parse(shared.config, shared.name));
    JsonWriter json;
    json.Object().Field("Name", shared.name);
    for (JsonValue member : config.root())
      json.Field(member.key(), member);
    json.End();
    JsonDocument body = TRY(JsonDocument::Parse(json.text(), shared.name));
    Network network = TRY_CTX(Cat("network ", shared.name), ParseNetworkRequest(body.root()));
    TRY_CTX(Cat("network ", shared.name), env_.networks->Create(std::move(network)));
  }
  for (const ota::Shared& shared : release.volumes) {
    JsonDocument config = TRY(JsonDocument::Parse(shared.config, shared.name));
    Volume volume;
    volume.name = shared.name;
    for (JsonValue label : config["Labels"])
      volume.labels.emplace(label.key(), label.str());
    TRY_CTX(Cat("volume ", shared.name), env_.volumes->Create(std::move(volume)));
  }
  return {};
}

Result<> ReleaseWorkload::CreateApp(const ota::App& app) {
  Seen seen = TRY(Look(app));
  if (seen.container)
    return {};
  TRY(Await<Containers::Created>(env_.loop, *env_.ended,
                                 [containers = env_.containers, name = AppContainerName(app),
                                  body = CreateBody(app)](Done<Containers::Created> done) {
                                   containers->Create({name, "", body}, std::move(done));
                                 }));
  return {};
}

Result<> ReleaseWorkload::Create(const ota::Release& release) {
  TRY(CreateShared(release));
  for (const ota::App& app : release.apps) {
    TRY_CTX(Cat("app ", app.name), CreateApp(app));
    TRY_CTX(Cat("app ", app.name), CheckHandover(app));
  }
  pins_.clear();
  return {};
}

Result<> ReleaseWorkload::Stop(const Seen& seen) {
  auto stopped =
      Await<void>(env_.loop, *env_.ended,
                  [containers = env_.containers, container = seen.container](Done<> done) {
                    containers->Stop(container, {}, std::move(done));
                  });
  if (!stopped && stopped.error().code() != Errc::kNotModified)
    return stopped;
  return {};
}

// An app others come after has to be well before they start.
Result<> ReleaseWorkload::AwaitReady(const ota::Release& release, const ota::App& app,
                                     const CancelFlag& cancel) {
  bool awaited = std::ranges::any_of(release.apps, [&](const ota::App& other) {
    return std::ranges::find(other.after, app.name) != other.after.end();
  });
  auto deadline = Uptime() + kReadyPatience;
  while (awaited) {
    ota::Health health = CheckApp(release, app);
    if (health.state == ota::Health::State::kHealthy)
      return {};
    if (health.state == ota::Health::State::kFailed || Uptime() > deadline)
      return Fail(Errc::kUnavailable, Cat("others come after it, and ", health.reason));
    TRY(Pause(cancel, kReadyPeriod));
  }
  return {};
}

Result<> ReleaseWorkload::Run(const ota::App& app) {
  Seen seen = TRY(Look(app));
  if (seen.state == ContainerState::kPaused || seen.state == ContainerState::kRestarting)
    TRY(Stop(seen));
  auto started = Await<void>(env_.loop, *env_.ended,
                             [containers = env_.containers, container = seen.container](
                                 Done<> done) { containers->Start(container, std::move(done)); });
  if (!started && started.error().code() != Errc::kNotModified)
    return started;
  return {};
}

Result<> ReleaseWorkload::StartApp(const ota::Release& release, const ota::App& app,
                                   const CancelFlag& cancel) {
  TRY(CreateApp(app));
  Seen seen = TRY(Look(app));
  env_.networks->StartAside(seen.id, false);
  TRY(Run(app));
  return AwaitReady(release, app, cancel);
}

Result<> ReleaseWorkload::Switch(const ota::Release* from, const ota::Release* to,
                                 const CancelFlag& cancel) {
  std::set<std::string> wanted;
  Handover handover;
  if (to != nullptr) {
    TRY(CreateShared(*to));
    for (const ota::App& app : to->apps)
      wanted.insert(AppContainerName(app));
    handover = TRY(PlanHandover(from, *to));
    for (const Handover::Row& row : handover.rows) {
      if (!row.late)
        TRY(Prepare(handover, *row.app, cancel));
    }
  }
  if (from != nullptr) {
    // Those that others come after end last.
    for (auto app = from->apps.rbegin(); app != from->apps.rend(); ++app) {
      Seen seen = TRY(Look(*app));
      if (seen.container && !wanted.contains(AppContainerName(*app)) && !handover.Keeps(seen.id))
        TRY_CTX(Cat("app ", app->name), Stop(seen));
    }
  }
  if (to != nullptr) {
    for (const ota::App& app : to->apps) {
      Handover::Row* row = handover.Find(app.name);
      if (row == nullptr)
        TRY_CTX(Cat("app ", app.name), StartApp(*to, app, cancel));
      else if (row->late)
        TRY(Prepare(handover, app, cancel));
    }
    TRY(FinishHandover(handover, cancel));
  }
  return {};
}

// An image that somebody gave a name of his own, or made a container of, stays.
Result<> ReleaseWorkload::RemoveImage(const ota::App& app) {
  Result<ImageSummary> image = env_.images->Inspect(app.image.Canonical());
  if (!image || !image->repo_tags.empty())
    return {};
  auto users = TRY(Await<std::vector<ImageUser>>(
      env_.loop, *env_.ended, [containers = env_.containers](Done<std::vector<ImageUser>> done) {
        done(containers->ImageUsers());
      }));
  const Digest& digest = image->image->manifest_digest;
  if (std::ranges::find(users, digest, &ImageUser::manifest_digest) == users.end())
    TRY(env_.images->Prune({digest}));
  return {};
}

Result<> ReleaseWorkload::Remove(const ota::Release& gone, std::span<const ota::Release> kept) {
  pins_.clear();
  std::set<std::string> containers, images;
  for (const ota::Release& release : kept) {
    for (const ota::App& app : release.apps) {
      containers.insert(AppContainerName(app));
      images.insert(app.image.Canonical());
    }
  }
  for (const ota::App& app : gone.apps) {
    Seen seen = TRY(Look(app));
    if (!seen.container || containers.contains(AppContainerName(app)))
      continue;
    TRY(Await<void>(env_.loop, *env_.ended,
                    [all = env_.containers, container = seen.container](Done<> done) {
                      all->Remove(container, Containers::Force::kYes,
                                  Containers::TheirVolumes::kRemove, std::move(done));
                    }));
  }
  for (const ota::App& app : gone.apps) {
    if (!images.contains(app.image.Canonical()))
      TRY_CTX(Cat("image of app ", app.name), RemoveImage(app));
  }
  return {};
}

}  // namespace wherry::engine
