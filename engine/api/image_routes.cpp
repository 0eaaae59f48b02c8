// /images: pull, list, inspect, tag, remove.
#include <atomic>
#include <memory>
#include <set>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/image_json.h"
#include "engine/api/line_stream.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

// fromImage and tag, where the tag may be a digest.
Result<registry::Reference> PullReference(const http::Request& request) {
  std::string_view image = request.param("fromImage");
  std::string_view tag = request.param("tag");
  if (tag.empty())
    return registry::Reference::Parse(image);
  return registry::Reference::Parse(
      Cat(image, tag.find(':') == std::string_view::npos ? ":" : "@", tag));
}

Result<PullRequest> ReadPull(const http::Request& request) {
  PullRequest pull;
  pull.reference = TRY(PullReference(request));
  pull.credentials = registry::CredentialsFromHeader(request.header("X-Registry-Auth"));
  if (!request.param("platform").empty())
    pull.platform = std::string(request.param("platform"));
  return pull;
}

void PullImage(const Services& services, Call call) {
  if (call.request().has_param("fromSrc"))
    return ImportImages(services, std::move(call));
  auto read = ReadPull(call.request());
  if (!read)
    return ReplyError(*call.exchange, read.error());
  PullRequest pull = std::move(*read);
  auto stream = std::make_shared<LineStream>(services.loop, call.exchange);
  stream->Begin();
  pull.cancel = stream->cancel();
  std::string name = pull.reference.Familiar();
  services.transfers->Run([services, stream, name, pull = std::move(pull)]() mutable {
    auto result = std::make_shared<Result<Digest>>(services.images->Pull(
        std::move(pull),
        [stream](const Progress& progress) { return stream->Report(ProgressLine(progress)); }));
    services.loop->Post([services, stream, name, result] {
      if (*result) {
        services.events->Publish({"image", "pull", name, {{"name", name}}});
      } else {
        LogWarning("pull of ", name, ": ", result->error().message());
      }
      stream->Finish(*result ? nullptr : &result->error());
    });
  });
}

std::string PushedLines(const PushedTag& pushed) {
  JsonWriter json;
  json.Object().Key("progressDetail").Object().End().Key("aux").Object();
  json.Field("Tag", pushed.tag).Field("Digest", pushed.digest.string());
  json.Field("Size", pushed.size).End().End();
  Progress said{Cat(pushed.tag, ": digest: ", pushed.digest.string(), " size: ", pushed.size), {}};
  return Cat(ProgressLine(said), json.text(), "\r\n");
}

// Without a tag all tags of the repository, as in Docker.
Result<PushRequest> ReadPush(const Call& call) {
  std::string_view tag = call.request().param("tag");
  PushRequest push;
  push.reference = TRY(registry::Reference::Parse(Cat(call.name, tag.empty() ? "" : ":", tag)));
  if (push.reference.digest)
    return Fail(Errc::kInvalid, "cannot push a digest reference; give NAME:TAG");
  push.all_tags = tag.empty() && !call.name.ends_with(Cat(":", push.reference.tag));
  push.credentials = registry::CredentialsFromHeader(call.request().header("X-Registry-Auth"));
  return push;
}

void PushImage(const Services& services, Call call) {
  using Pushed = Result<std::vector<PushedTag>>;
  auto push = ReadPush(call);
  if (!push)
    return ReplyError(*call.exchange, push.error());
  auto stream = std::make_shared<LineStream>(services.loop, call.exchange);
  stream->Begin();
  push->cancel = stream->cancel();
  std::string name =
      push->all_tags ? push->reference.FamiliarRepository() : push->reference.Familiar();
  services.transfers->Run([services, stream, name, push = std::move(*push)]() mutable {
    auto result = std::make_shared<Pushed>(services.images->Push(
        std::move(push),
        [stream](const Progress& progress) { return stream->Report(ProgressLine(progress)); }));
    services.loop->Post([services, stream, name, result] {
      if (!*result) {
        LogWarning("push of ", name, ": ", result->error().message());
        return stream->Finish(&result->error());
      }
      for (const PushedTag& pushed : **result)
        stream->Report(PushedLines(pushed));
      services.events->Publish({"image", "push", name, {{"name", name}}});
      stream->Finish(nullptr);
    });
  });
}

// Our own: what a pull would do.
void PlanPull(const Services& services, Call call) {
  auto read = ReadPull(call.request());
  if (!read)
    return ReplyError(*call.exchange, read.error());
  auto cancel = std::make_shared<std::atomic<bool>>(false);
  call.exchange->OnClose([cancel] { cancel->store(true); });
  read->cancel = cancel;
  services.transfers->Run([services, exchange = call.exchange, pull = std::move(*read)]() mutable {
    auto plan = std::make_shared<Result<PullPlan>>(services.images->Plan(std::move(pull)));
    services.loop->Post([exchange, plan] {
      if (!*plan)
        return ReplyError(*exchange, plan->error());
      ReplyJson(*exchange, 200, PullPlanJson(**plan));
    });
  });
}

bool MatchesFilters(const ImageSummary& summary, const Filters& filters) {
  bool dangling = summary.repo_tags.empty();
  if (filters.Has("dangling") && filters.Flag("dangling") != dangling)
    return false;
  if (filters.Has("reference")) {
    bool any = false;
    for (const std::string& pattern : filters.Values("reference")) {
      for (const std::string& tag : summary.repo_tags)
        any |= MatchesReference(pattern, tag);
    }
    if (!any)
      return false;
  }
  return filters.MatchesLabels(ImageLabels(summary));
}

constexpr std::string_view kImageFilters[] = {"dangling", "label", "reference"};

void ListImages(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kImageFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  OnWorker<std::string>(
      services,
      [services, filters = std::move(*filters)]() -> Result<std::string> {
        JsonWriter json;
        json.Array();
        services.images->ForEach([&](const ImageSummary& image) {
          if (MatchesFilters(image, filters))
            WriteImageSummary(json, image);
        });
        json.End();
        return json.Take();
      },
      [exchange = call.exchange](Result<std::string> text) {
        if (!text)
          return ReplyError(*exchange, text.error());
        ReplyJson(*exchange, 200, std::move(*text));
      });
}

void InspectImage(const Services& services, Call call) {
  OnWorker<std::string>(
      services,
      [services, name = call.name]() -> Result<std::string> {
        ImageSummary image = TRY(services.images->Inspect(name));
        return ImageInspectJson(image);
      },
      [exchange = call.exchange](Result<std::string> text) {
        if (!text)
          return ReplyError(*exchange, text.error());
        ReplyJson(*exchange, 200, std::move(*text));
      });
}

void TagImage(const Services& services, Call call) {
  const http::Request& request = call.request();
  std::string_view tag = request.param("tag");
  auto target = registry::Reference::Parse(Cat(request.param("repo"), tag.empty() ? "" : ":", tag));
  if (!target)
    return ReplyError(*call.exchange, target.error());
  std::string familiar = target->Familiar();
  OnWorker<void>(
      services,
      [services, name = call.name, target = std::move(*target)] {
        return services.images->Tag(name, target);
      },
      [services, familiar, exchange = call.exchange](Result<> done) {
        if (!done)
          return ReplyError(*exchange, done.error());
        services.events->Publish({"image", "tag", familiar, {{"name", familiar}}});
        ReplyEmpty(*exchange, 201);
      });
}

void PublishRemoval(const Services& services, const RemoveResult& removed) {
  for (const std::string& name : removed.untagged) {
    services.events->Publish({"image", "untag", name, {{"name", name}}});
  }
  for (const Digest& digest : removed.deleted) {
    services.events->Publish({"image", "delete", digest.string(), {{"name", digest.string()}}});
  }
}

void WriteRemoved(JsonWriter& json, const RemoveResult& removed) {
  json.Array();
  for (const std::string& name : removed.untagged)
    json.Object().Field("Untagged", name).End();
  for (const Digest& digest : removed.deleted)
    json.Object().Field("Deleted", digest.string()).End();
  json.End();
}

void RemoveImage(const Services& services, Call call) {
  auto force = call.request().flag("force") ? Images::Force::kYes : Images::Force::kNo;
  OnWorker<RemoveResult>(
      services,
      [services, name = call.name, force, users = services.containers->ImageUsers()] {
        return services.images->Remove(name, force, users);
      },
      [services, exchange = call.exchange](Result<RemoveResult> removed) {
        if (!removed)
          return ReplyError(*exchange, removed.error());
        PublishRemoval(services, *removed);
        JsonWriter json;
        WriteRemoved(json, *removed);
        ReplyJson(*exchange, 200, json.Take());
      });
}

constexpr std::string_view kPruneFilters[] = {"dangling", "label", "label!", "until"};

// By default those without a name, as Docker's.
Result<PruneResult> Prune(Images& images, const Filters& filters, int64_t before) {
  bool only_dangling = !filters.Has("dangling") || filters.Flag("dangling");
  std::set<Digest> chosen;
  images.ForEach([&](const ImageSummary& image) {
    bool dangling = image.repo_tags.empty();
    if ((dangling || !only_dangling) && ImageCreated(image) < before &&
        filters.MatchesLabels(ImageLabels(image)))
      chosen.insert(image.image->manifest_digest);
  });
  return images.Prune(chosen);
}

void PruneImages(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kPruneFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  auto before = PruneBefore(*filters);
  if (!before)
    return ReplyError(*call.exchange, before.error());
  OnWorker<PruneResult>(
      services,
      [services, before = *before, filters = std::move(*filters)] {
        return Prune(*services.images, filters, before);
      },
      [services, exchange = call.exchange](Result<PruneResult> pruned) {
        if (!pruned)
          return ReplyError(*exchange, pruned.error());
        PublishRemoval(services, pruned->removed);
        JsonWriter json;
        json.Object().Key("ImagesDeleted");
        WriteRemoved(json, pruned->removed);
        json.Field("SpaceReclaimed", pruned->freed_bytes).End();
        ReplyJson(*exchange, 200, json.Take());
      });
}

constexpr Route kRoutes[] = {
    {"POST", "/images/create", PullImage, true},  {"GET", "/images/json", ListImages},
    {"GET", "/images/{name}/json", InspectImage}, {"POST", "/images/{name}/tag", TagImage},
    {"POST", "/images/{name}/push", PushImage},   {"DELETE", "/images/{name}", RemoveImage},
    {"POST", "/images/prune", PruneImages},       {"GET", "/wherry/v1/pull/plan", PlanPull},
};

}  // namespace

std::span<const Route> ImageRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
