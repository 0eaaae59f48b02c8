// /images: list, inspect, history, tag, remove.
#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/image_json.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

// Filter values that are looked up or parsed once for all images; unix nanoseconds.
struct ImageTimes {
  int64_t before = INT64_MAX;  // and not at it
  int64_t since = INT64_MIN;
};

Result<ImageTimes> TimesOf(Images& images, const Filters& filters) {
  ImageTimes times;
  times.before = TRY(PruneBefore(filters));
  for (const std::string& name : filters.Values("before")) {
    ImageSummary image = TRY(images.Inspect(name));
    times.before = std::min(times.before, ImageCreated(image));
  }
  for (const std::string& name : filters.Values("since")) {
    ImageSummary image = TRY(images.Inspect(name));
    times.since = std::max(times.since, ImageCreated(image));
  }
  return times;
}

bool MatchesFilters(const ImageSummary& summary, const Filters& filters, const ImageTimes& times) {
  int64_t created = ImageCreated(summary);
  if (created >= times.before || created <= times.since)
    return false;
  bool dangling = summary.repo_tags.empty();
  if (filters.Has("dangling") && filters.Flag("dangling") != dangling)
    return false;
  return filters.MatchesLabels(ImageLabels(summary));
}

// Leaves only the names that were asked for; false when none is left.
bool KeepReferences(ImageSummary& summary, const Filters& filters) {
  if (!filters.Has("reference"))
    return true;
  std::erase_if(summary.repo_tags, [&](const std::string& tag) {
    return std::ranges::none_of(filters.Values("reference"), [&](const std::string& pattern) {
      return MatchesReference(pattern, tag);
    });
  });
  return !summary.repo_tags.empty();
}

constexpr std::string_view kImageFilters[] = {"before",    "dangling", "label", "label!",
                                              "reference", "since",    "until"};

void ListImages(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kImageFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  OnWorker<std::string>(
      services,
      [services, filters = std::move(*filters)]() -> Result<std::string> {
        ImageTimes times = TRY(TimesOf(*services.images, filters));
        JsonWriter json;
        json.Array();
        services.images->ForEach([&](ImageSummary image) {
          if (MatchesFilters(image, filters, times) && KeepReferences(image, filters))
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

template <Result<std::string> (*kJson)(const ImageSummary&)>
void Describe(const Services& services, Call call) {
  OnWorker<std::string>(
      services,
      [services, name = call.name]() -> Result<std::string> {
        ImageSummary image = TRY(services.images->Inspect(name));
        return kJson(image);
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
    {"GET", "/images/json", ListImages},
    {"GET", "/images/{name}/json", Describe<ImageInspectJson>},
    {"GET", "/images/{name}/history", Describe<ImageHistoryJson>},
    {"POST", "/images/{name}/tag", TagImage},
    {"DELETE", "/images/{name}", RemoveImage},
    {"POST", "/images/prune", PruneImages},
};

}  // namespace

std::span<const Route> ImageRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
