// /wherry/v1/store: our own, about the integrity of what is on flash.
#include <chrono>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/line_stream.h"
#include "engine/images.h"
#include "net/registry/reference.h"

namespace wherry::engine::api {

namespace {

constexpr std::chrono::milliseconds kProgressPeriod{200};

// One JSON object per line: {"damage":{}}, {"progress":{}}, {"status":""}, at the end
// {"summary":{}}.
class CheckLines final : public CheckListener {
 public:
  explicit CheckLines(std::shared_ptr<LineStream> stream) : stream_(std::move(stream)) {}

  bool OnDamage(const store::Damage& damage, const std::vector<std::string>& names) override {
    JsonWriter json;
    json.Object().Key("damage").Object().Field("kind", DamageName(damage.kind));
    json.Field("path", damage.path).Field("what", damage.what).Field("images", names).End().End();
    return Send(json);
  }
  bool OnProgress(const store::CheckCount& count) override {
    auto now = Uptime();
    if (now - told_ < kProgressPeriod)
      return !stream_->cancel()->load();
    told_ = now;
    JsonWriter json;
    json.Object().Key("progress").Object().Field("files", count.files);
    json.Field("bytes", count.bytes).Field("damaged", count.damaged).End().End();
    return Send(json);
  }
  bool OnStatus(std::string_view text) override {
    JsonWriter json;
    json.Object().Field("status", text).End();
    return Send(json);
  }
  void Summary(const CheckReport& report) {
    JsonWriter json;
    json.Object().Key("summary").Object().Field("files", report.count.files);
    json.Field("bytes", report.count.bytes).Field("damaged", report.count.damaged);
    json.Field("left", report.left).Field("failures", report.failures).End().End();
    Send(json);
  }

 private:
  bool Send(const JsonWriter& json) { return stream_->Report(Cat(json.text(), "\r\n")); }

  std::shared_ptr<LineStream> stream_;
  std::chrono::nanoseconds told_{};
};

// The body may bring credentials: {"auths":{"host":{"username":"","password":""}}}.
void CheckStore(const Services& services, Call call) {
  auto body = JsonBody(call.request());
  if (!body)
    return ReplyError(*call.exchange, body.error());
  CheckRequest check;
  check.repair = call.request().flag("repair");
  for (JsonValue auth : body->root()["auths"]) {
    check.credentials.emplace(registry::NormaliseHost(auth.key()),
                              registry::CredentialsFromJson(auth));
  }
  auto stream = std::make_shared<LineStream>(services.loop, call.exchange);
  stream->Begin();
  check.cancel = stream->cancel();
  services.transfers->Run([services, stream, check = std::move(check)]() mutable {
    CheckLines lines(stream);
    auto report = services.images->CheckStore(std::move(check), lines);
    if (report)
      lines.Summary(*report);
    auto result = std::make_shared<Result<CheckReport>>(std::move(report));
    services.loop->Post([stream, result] { stream->Finish(*result ? nullptr : &result->error()); });
  });
}

// {"directory":"/abs","images":["nginx:1"],"tier":"A1"}; lines {"status":""}.
void ExportFactory(const Services& services, Call call) {
  auto body = JsonBody(call.request());
  if (!body)
    return ReplyError(*call.exchange, body.error());
  auto tier = store::ParseTier(body->root()["tier"].str());
  if (!tier)
    return ReplyError(*call.exchange, tier.error());
  FactoryExport request{std::string(body->root()["directory"].str()),
                        body->root()["images"].strings(), *tier, nullptr};
  auto stream = std::make_shared<LineStream>(services.loop, call.exchange);
  stream->Begin();
  request.cancel = stream->cancel();
  services.archives->Run([services, stream, request = std::move(request)] {
    auto result = std::make_shared<Result<>>(
        services.images->ExportFactory(request, [&](std::string_view text) {
          JsonWriter json;
          json.Object().Field("status", text).End();
          stream->Report(Cat(json.text(), "\r\n"));
        }));
    services.loop->Post([stream, result] { stream->Finish(*result ? nullptr : &result->error()); });
  });
}

constexpr Route kRoutes[] = {
    {"POST", "/wherry/v1/store/export-factory", ExportFactory},
    {"POST", "/wherry/v1/store/check", CheckStore},
};

}  // namespace

std::span<const Route> StoreRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
