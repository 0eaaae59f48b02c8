// What containers use and may use: /containers/{name}/top, stats, update.
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/stats_stream.h"
#include "engine/containers.h"
#include "engine/process_table.h"

namespace wherry::engine::api {

namespace {

void Top(const Services& services, Call call) {
  auto container = services.containers->Find(call.name);
  if (!container)
    return ReplyError(*call.exchange, container.error());
  if (!HasProcess((*container)->state)) {
    return ReplyError(*call.exchange, Error(Errc::kConflict, Cat("container ", (*container)->id,
                                                                 " is not running")));
  }
  services.containers->Publish(**container, "top");
  OnWorker<ProcessTable>(
      services,
      [cgroup = services.containers->CgroupPath((*container)->id),
       args = std::string(call.request().param("ps_args"))] { return ListProcesses(cgroup, args); },
      [exchange = call.exchange](Result<ProcessTable> table) {
        if (!table)
          return ReplyError(*exchange, table.error());
        JsonWriter json;
        json.Object().Field("Titles", table->titles).Key("Processes").Array();
        for (const auto& row : table->rows)
          json.Strings(row);
        json.End().End();
        ReplyJson(*exchange, 200, json.Take());
      });
}

void Stats(const Services& services, Call call) {
  using Mode = StatsStream::Mode;
  auto container = services.containers->Find(call.name);
  if (!container)
    return ReplyError(*call.exchange, container.error());
  const http::Request& request = call.request();
  bool follow = !request.has_param("stream") || request.flag("stream");
  Mode mode = follow ? Mode::kFollow : request.flag("one-shot") ? Mode::kOneShot : Mode::kOnce;
  std::make_shared<StatsStream>(services, std::move(*container), call.exchange, mode)->Begin();
}

void Update(const Services& services, Call call) {
  auto container = services.containers->Find(call.name);
  if (!container)
    return ReplyError(*call.exchange, container.error());
  services.containers->Update(std::move(*container), call.request().body,
                              [exchange = call.exchange](Result<> updated) {
                                if (!updated)
                                  return ReplyError(*exchange, updated.error());
                                ReplyJson(*exchange, 200, R"({"Warnings":[]})");
                              });
}

constexpr Route kRoutes[] = {
    {"GET", "/containers/{name}/top", Top},
    {"GET", "/containers/{name}/stats", Stats},
    {"POST", "/containers/{name}/update", Update},
};

}  // namespace

std::span<const Route> ResourceRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
