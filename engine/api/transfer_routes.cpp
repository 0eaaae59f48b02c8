// Images between this store and registries: /images/create, /images/{name}/push and what a pull
// would do.
#include <atomic>
#include <memory>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/image_json.h"
#include "engine/api/line_stream.h"

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
  call.exchange->OnBody([](std::string_view) {});  // some clients send their options there, too
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
        // As Docker: registries deny what does not exist, and clients know 404 for both.
        Errc code = result->error().code();
        if (code == Errc::kDenied || code == Errc::kUnauthorized)
          *result = std::unexpected(std::move(*result).error().WithCode(Errc::kNotFound));
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

constexpr Route kRoutes[] = {
    {"POST", "/images/create", PullImage, true},
    {"POST", "/images/{name}/push", PushImage},
    {"GET", "/wherry/v1/pull/plan", PlanPull, false, Access::kAdmin},
};

}  // namespace

std::span<const Route> TransferRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
