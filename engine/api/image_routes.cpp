// /images: pull, list, inspect, tag, remove.
#include <atomic>
#include <memory>
#include <mutex>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/image_json.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

// The answer to a pull, written by a worker and sent by the loop. Before the first line an error is
// an HTTP error, after it one line of the stream.
class PullStream : public std::enable_shared_from_this<PullStream> {
 public:
  PullStream(Loop* loop, http::ExchangePtr exchange)
      : loop_(loop), exchange_(std::move(exchange)) {}

  // Loop thread, once, before the worker starts.
  void Begin() {
    exchange_->OnClose([cancel = cancel_] { cancel->store(true); });
  }

  // Set when nobody listens any more; ends the pull.
  const std::shared_ptr<std::atomic<bool>>& cancel() const { return cancel_; }

  // Worker: false when nobody listens any more.
  bool Report(const Progress& progress) {
    if (cancel_->load())
      return false;
    std::string line = ProgressLine(progress);
    std::lock_guard lock(mutex_);
    lines_ += line;
    if (!flush_posted_) {
      flush_posted_ = true;
      loop_->Post([self = shared_from_this()] { self->Flush(); });
    }
    return true;
  }

  // Loop thread.
  void Finish(const Result<Digest>& result) {
    Flush();
    if (!result && !started_)
      return ReplyError(*exchange_, HttpError(result.error()));
    if (!result) {
      JsonWriter json;
      json.Object().Key("errorDetail").Object().Field("message", result.error().message()).End();
      json.Field("error", result.error().message()).End();
      exchange_->Write(Cat(json.text(), "\r\n"));
    }
    if (!started_)
      Start();
    exchange_->End();
  }

 private:
  // A 401 would make docker's CLI ask for a password of Docker's own registry.
  static Error HttpError(const Error& error) {
    return error.code() == Errc::kUnauthorized ? error.Clone().WithCode(Errc::kDenied)
                                               : error.Clone();
  }

  void Start() {
    started_ = true;
    exchange_->StartStream(200, {{"Content-Type", "application/json"}});
  }

  void Flush() {
    std::string lines;
    {
      std::lock_guard lock(mutex_);
      lines.swap(lines_);
      flush_posted_ = false;
    }
    if (lines.empty())
      return;
    if (!started_)
      Start();
    exchange_->Write(lines);
  }

  Loop* loop_;
  http::ExchangePtr exchange_;
  bool started_ = false;
  std::shared_ptr<std::atomic<bool>> cancel_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;
  std::string lines_;          // guarded by mutex_
  bool flush_posted_ = false;  // guarded by mutex_
};

// fromImage and tag, where the tag may be a digest.
Result<registry::Reference> PullReference(const http::Request& request) {
  std::string_view image = request.param("fromImage");
  std::string_view tag = request.param("tag");
  if (request.has_param("fromSrc"))
    return Fail(Errc::kUnsupported, "import (fromSrc) is not supported");
  if (tag.empty())
    return registry::Reference::Parse(image);
  return registry::Reference::Parse(
      Cat(image, tag.find(':') == std::string_view::npos ? ":" : "@", tag));
}

void PullImage(const Services& services, Call call) {
  const http::Request& request = call.request();
  auto reference = PullReference(request);
  if (!reference)
    return ReplyError(*call.exchange, reference.error());
  PullRequest pull{std::move(*reference), std::nullopt,
                   registry::CredentialsFromHeader(request.header("X-Registry-Auth")), nullptr};
  if (!request.param("platform").empty())
    pull.platform = std::string(request.param("platform"));

  auto stream = std::make_shared<PullStream>(services.loop, call.exchange);
  stream->Begin();
  pull.cancel = stream->cancel();
  std::string name = pull.reference.Familiar();
  services.transfers->Run([services, stream, name, pull = std::move(pull)]() mutable {
    auto result = std::make_shared<Result<Digest>>(services.images->Pull(
        std::move(pull), [stream](const Progress& progress) { return stream->Report(progress); }));
    services.loop->Post([services, stream, name, result] {
      if (*result) {
        services.events->Publish({"image", "pull", name, {{"name", name}}});
      } else {
        LogWarning("pull of ", name, ": ", result->error().message());
      }
      stream->Finish(*result);
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
        auto images = TRY(services.images->List());
        JsonWriter json;
        json.Array();
        for (const ImageSummary& image : images) {
          if (MatchesFilters(image, filters))
            WriteImageSummary(json, image);
        }
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
        json.Array();
        for (const std::string& name : removed->untagged)
          json.Object().Field("Untagged", name).End();
        for (const Digest& digest : removed->deleted)
          json.Object().Field("Deleted", digest.string()).End();
        json.End();
        ReplyJson(*exchange, 200, json.Take());
      });
}

constexpr Route kRoutes[] = {
    {"POST", "/images/create", PullImage},        {"GET", "/images/json", ListImages},
    {"GET", "/images/{name}/json", InspectImage}, {"POST", "/images/{name}/tag", TagImage},
    {"DELETE", "/images/{name}", RemoveImage},
};

}  // namespace

std::span<const Route> ImageRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
