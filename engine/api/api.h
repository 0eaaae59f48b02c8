// What every API handler uses: the parts of the engine, one call, route rows, and the mapping of
// errors to HTTP. A new route is one row in the table of its file plus one function;
// docker-compatible paths are written without version.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/loop.h"
#include "core/base/worker_pool.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/images.h"
#include "net/http/server.h"

namespace wherry::engine {
class Builds;
class Containers;
class Execs;
class Networks;
class Updates;
class Volumes;
}  // namespace wherry::engine

namespace wherry::engine::api {

inline constexpr std::string_view kApiVersion = "1.47";
inline constexpr std::string_view kMinApiVersion = "1.24";

class Metrics;

// The engine's parts, by reference; all outlive every call.
struct Services {
  const Config* config;
  Loop* loop;
  WorkerPool* workers;    // short work: store look-ups, files
  WorkerPool* transfers;  // pulls: long, few at a time
  WorkerPool* archives;   // saves and loads: long, and each may wait for another one
  EventBus* events;
  Images* images;
  Containers* containers;
  Execs* execs;
  Volumes* volumes;
  Networks* networks;
  Builds* builds;
  Updates* updates;
  Metrics* metrics;
};

struct Call {
  http::ExchangePtr exchange;
  std::string name;  // the {name} of the pattern, percent-decoded; may contain '/' below /images
                     // and /distribution
  Role role = Role::kAdmin;
  int api_version = 147;  // 100 * major + minor of the path's prefix; the newest when there is none

  const http::Request& request() const { return exchange->request(); }
};

using Handler = void (*)(const Services& services, Call call);

// Who may call a route by HTTPS. A reader may GET (and HEAD) what is not marked otherwise.
enum class Access : uint8_t { kByMethod, kAdmin };

struct Route {
  std::string_view method;   // a GET row also answers HEAD
  std::string_view pattern;  // "/containers/{name}/json": at most one {name}
  Handler handler;
  bool streams_body = false;  // the handler takes the request's body in pieces
  Access access = Access::kByMethod;
};

// POST /images/create?fromSrc=- (archive_routes.cpp); the same path without it is a pull.
void ImportImages(const Services& services, Call call);

// The tables, one per file.
std::span<const Route> ArchiveRoutes();    // archive_routes.cpp
std::span<const Route> BuildRoutes();      // build_routes.cpp
std::span<const Route> CommitRoutes();     // commit_routes.cpp
std::span<const Route> ContainerRoutes();  // container_routes.cpp
std::span<const Route> ExecRoutes();       // exec_routes.cpp
std::span<const Route> FileRoutes();       // file_routes.cpp
std::span<const Route> ImageRoutes();      // image_routes.cpp
std::span<const Route> MetricsRoutes();    // metrics_routes.cpp
std::span<const Route> NetworkRoutes();    // network_routes.cpp
std::span<const Route> ResourceRoutes();   // resource_routes.cpp
std::span<const Route> StoreRoutes();      // store_routes.cpp
std::span<const Route> SystemRoutes();     // system_routes.cpp
std::span<const Route> TransferRoutes();   // transfer_routes.cpp
std::span<const Route> UpdateRoutes();     // update_routes.cpp
std::span<const Route> UsageRoutes();      // usage_routes.cpp
std::span<const Route> VolumeRoutes();     // volume_routes.cpp

// 404 {"message":"No such container: x"} and so on. Errc -> status is one table in api.cpp.
int HttpStatus(Errc code);
void ReplyError(http::Exchange& exchange, const Error& error);
// Of a registry that cannot be reached: 500 as Docker answers. 503 would be this engine's own.
Error RegistryError(const Error& error);
void ReplyJson(http::Exchange& exchange, int status, std::string json);
void ReplyEmpty(http::Exchange& exchange, int status);  // 204, 304

// The request body as JSON; an empty body is an empty object. kInvalid otherwise.
Result<JsonDocument> JsonBody(const http::Request& request);

// Runs `work` on a worker, then `done` with its result on the loop thread.
template <class T>
void OnWorker(const Services& services, std::move_only_function<Result<T>()> work,
              std::move_only_function<void(Result<T>)> done) {
  services.workers->Run(
      [loop = services.loop, work = std::move(work), done = std::move(done)]() mutable {
        auto result = std::make_shared<Result<T>>(work());
        loop->Post([result, done = std::move(done)]() mutable { done(std::move(*result)); });
      });
}

}  // namespace wherry::engine::api
