// The engine itself: ping, version, info, events, login check, configuration.
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/system_info.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

void Ping(const Services&, Call call) {
  call.exchange->Reply(200,
                       {{"Builder-Version", "1"},
                        {"Cache-Control", "no-cache, no-store, must-revalidate"},
                        {"Content-Type", "text/plain; charset=utf-8"},
                        {"Pragma", "no-cache"},
                        {"Swarm", "inactive"}},
                       "OK");
}

void Version(const Services&, Call call) {
  ReplyJson(*call.exchange, 200, VersionJson());
}

void Info(const Services& services, Call call) {
  ReplyJson(*call.exchange, 200,
            InfoJson(*services.config, services.containers->Counts(), services.images->Count(),
                     services.images->store()));
}

// Checks user and password against the registry; nothing is stored here: the client keeps
// credentials.
void Login(const Services& services, Call call) {
  auto body = JsonBody(call.request());
  if (!body)
    return ReplyError(*call.exchange, body.error());
  registry::Credentials credentials = registry::CredentialsFromJson(body->root());
  std::string host(body->root()["serveraddress"].str());
  OnWorker<void>(
      services,
      [services, host, credentials = std::move(credentials)] {
        return services.images->CheckLogin(host, credentials);
      },
      [exchange = call.exchange](Result<> checked) {
        if (!checked)
          return ReplyError(*exchange, RegistryError(checked.error()));
        ReplyJson(*exchange, 200, R"({"IdentityToken":"","Status":"Login Succeeded"})");
      });
}

// One client of /events: past events that match, then live ones until the client goes or `until`
// comes.
class EventStream : public std::enable_shared_from_this<EventStream> {
 public:
  EventStream(const Services& services, http::ExchangePtr exchange, Filters filters)
      : services_(services), exchange_(std::move(exchange)), filters_(std::move(filters)) {}

  void Begin(int64_t since, int64_t until) {
    exchange_->StartStream(200, {{"Content-Type", "application/json"}});
    if (since != 0) {
      for (const Event& event : services_.events->history()) {
        if (event.unix_nanos >= since && (until == 0 || event.unix_nanos <= until))
          Send(event);
      }
    }
    int64_t now = UnixNanosNow();
    if (until != 0 && until <= now)
      return exchange_->End();
    auto self = shared_from_this();
    subscription_ = services_.events->Subscribe([self](const Event& event) { self->Send(event); });
    if (until != 0) {
      timer_ =
          services_.loop->After(std::chrono::nanoseconds(until - now), [self] { self->Finish(); });
    }
    exchange_->OnClose([self] { self->Detach(); });
  }

 private:
  void Send(const Event& event) {
    if (MatchesEvent(event, filters_))
      exchange_->Write(Cat(EventJson(event), "\n"));
  }
  void Finish() {
    Detach();
    exchange_->End();
  }
  void Detach() {
    services_.events->Unsubscribe(subscription_);
    services_.loop->Cancel(timer_);
  }

  Services services_;
  http::ExchangePtr exchange_;
  Filters filters_;
  EventBus::Subscription subscription_ = 0;
  Loop::TimerId timer_ = 0;
};

Result<int64_t> TimeParam(const http::Request& request, std::string_view name) {
  std::string_view text = request.param(name);
  if (text.empty())
    return 0;
  return ParseTimestamp(text, UnixNanosNow());
}

void Events(const Services& services, Call call) {
  const http::Request& request = call.request();
  auto filters = Filters::Parse(request.param("filters"), kEventFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  auto since = TimeParam(request, "since");
  if (!since)
    return ReplyError(*call.exchange, since.error());
  auto until = TimeParam(request, "until");
  if (!until)
    return ReplyError(*call.exchange, until.error());
  std::make_shared<EventStream>(services, call.exchange, std::move(*filters))
      ->Begin(*since, *until);
}

// Our own: the effective configuration with the origin of each value.
void ShowConfig(const Services& services, Call call) {
  ReplyJson(*call.exchange, 200, DescribeConfigJson(*services.config));
}

void NoPlugins(const Services&, Call call) {
  ReplyJson(*call.exchange, 200, "[]");
}

constexpr Route kRoutes[] = {
    {"GET", "/_ping", Ping},
    {"GET", "/version", Version},
    {"GET", "/info", Info},
    {"GET", "/events", Events},
    {"POST", "/auth", Login},
    {"GET", "/plugins", NoPlugins},
    {"GET", "/wherry/v1/config", ShowConfig, false, Access::kAdmin},
};

}  // namespace

std::span<const Route> SystemRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
