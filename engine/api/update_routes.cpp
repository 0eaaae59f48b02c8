// /wherry/v1/ota and /wherry/v1/device: our own, about this device and its updates
// (docs/updates.md, docs/https.md).
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/body_pipe.h"
#include "engine/api/device_json.h"
#include "engine/update/updates.h"

namespace wherry::engine::api {

namespace {

constexpr size_t kMaxDeployment = 64;

std::string DigestJson(const Digest& digest) {
  JsonWriter json;
  json.Object().Field("digest", digest.string()).End();
  return json.Take();
}

// JSON that a worker makes.
void ReplyFromWorker(const Services& services, Call call,
                     std::move_only_function<Result<std::string>()> work) {
  OnWorker<std::string>(services, std::move(work),
                        [exchange = call.exchange](Result<std::string> json) {
                          if (!json)
                            return ReplyError(*exchange, json.error());
                          ReplyJson(*exchange, 200, *std::move(json));
                        });
}

void Status(const Services& services, Call call) {
  ReplyFromWorker(services, std::move(call), [updates = services.updates]() -> Result<std::string> {
    return updates->LocalStatusJson();
  });
}

// Who and what this device is.
void Device(const Services& services, Call call) {
  ReplyFromWorker(services, std::move(call),
                  [config = services.config, updates = services.updates,
                   counts = services.containers->Counts()]() -> Result<std::string> {
                    return DeviceJson(*config, *updates, counts);
                  });
}

void History(const Services& services, Call call) {
  ReplyFromWorker(services, std::move(call), [updates = services.updates]() -> Result<std::string> {
    return updates->HistoryJson();
  });
}

void Evidence(const Services& services, Call call) {
  ReplyFromWorker(services, std::move(call), [updates = services.updates]() -> Result<std::string> {
    std::string evidence = updates->updater().Evidence();
    if (evidence.empty())
      return Fail(Errc::kNotFound, "no release was ever taken back");
    return evidence;
  });
}

// The body is the signed release; its digest is the answer, before anything was fetched.
void Apply(const Services& services, Call call) {
  std::string deployment(call.request().param("deployment"));
  if (deployment.size() > kMaxDeployment)
    return ReplyError(*call.exchange, Error(Errc::kInvalid, "deployment: more than 64 characters"));
  ReplyFromWorker(services, call,
                  [updates = services.updates, deployment,
                   body = std::string(call.request().body)]() -> Result<std::string> {
                    Digest digest = TRY(updates->Apply(body, deployment));
                    return DigestJson(digest);
                  });
}

// The body is a bundle, of any length; the answer comes when its images are here.
void ApplyBundle(const Services& services, Call call) {
  std::string deployment(call.request().param("deployment"));
  if (deployment.size() > kMaxDeployment)
    return ReplyError(*call.exchange, Error(Errc::kInvalid, "deployment: more than 64 characters"));
  auto exchange = call.exchange;
  auto pipe = std::make_shared<UploadPipe>(services.loop, exchange);
  pipe->Begin();
  services.archives->Run([services, pipe = std::move(pipe), exchange = std::move(exchange),
                          deployment = std::move(deployment)]() mutable {
    auto applied = std::make_shared<Result<Digest>>(
        services.updates->ApplyBundle(*pipe, std::move(deployment), pipe->cancel()));
    services.loop->Post([pipe = std::move(pipe), exchange = std::move(exchange), applied] {
      if (!*applied)
        return ReplyError(*exchange, applied->error());
      ReplyJson(*exchange, 200, DigestJson(**applied));
    });
  });
}

// A wish without a body of its own: {} is the answer.
void Wish(const Services& services, Call call, Result<> (*wish)(ota::Updater&)) {
  ReplyFromWorker(services, std::move(call),
                  [updates = services.updates, wish]() -> Result<std::string> {
                    TRY(wish(updates->updater()));
                    return "{}";
                  });
}

void Confirm(const Services& services, Call call) {
  Wish(services, std::move(call), [](ota::Updater& updater) { return updater.Confirm(); });
}

void Proceed(const Services& services, Call call) {
  Wish(services, std::move(call), [](ota::Updater& updater) { return updater.Proceed(); });
}

void Cancel(const Services& services, Call call) {
  Wish(services, std::move(call), [](ota::Updater& updater) {
    return updater.Cancel(ota::Code::kRequested, "cancelled on request");
  });
}

void Rollback(const Services& services, Call call) {
  Digest expected;
  if (std::string_view text = call.request().param("expected"); !text.empty()) {
    Result<Digest> digest = Digest::Parse(text);
    if (!digest)
      return ReplyError(*call.exchange, digest.error());
    expected = *digest;
  }
  ReplyFromWorker(services, std::move(call),
                  [updates = services.updates, expected]() -> Result<std::string> {
                    TRY(updates->updater().Rollback(expected));
                    return "{}";
                  });
}

constexpr Route kRoutes[] = {
    {"GET", "/wherry/v1/device", Device},
    {"GET", "/wherry/v1/ota", Status},
    {"GET", "/wherry/v1/ota/history", History},
    {"GET", "/wherry/v1/ota/evidence", Evidence},
    {"POST", "/wherry/v1/ota/apply", Apply},
    {"POST", "/wherry/v1/ota/bundle", ApplyBundle, true},
    {"POST", "/wherry/v1/ota/proceed", Proceed},
    {"POST", "/wherry/v1/ota/confirm", Confirm},
    {"POST", "/wherry/v1/ota/cancel", Cancel},
    {"POST", "/wherry/v1/ota/rollback", Rollback},
};

}  // namespace

std::span<const Route> UpdateRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
