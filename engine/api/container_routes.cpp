// /containers: create, list, inspect, the life cycle. Streams are in container_streams.cpp.
#include <fcntl.h>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/container_json.h"
#include "engine/api/container_streams.h"
#include "engine/container_list.h"
#include "engine/containers.h"
#include "engine/disk_use.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

// The container of the path, or nothing after an error was sent.
ContainerPtr FindOrReply(const Services& services, const Call& call) {
  auto found = services.containers->Find(call.name);
  if (found)
    return std::move(*found);
  ReplyError(*call.exchange, found.error());
  return nullptr;
}

// The answer to an operation without content.
Done<> ReplyWhenDone(const Call& call, int status = 204) {
  return [exchange = call.exchange, status](Result<> done) {
    if (!done)
      return ReplyError(*exchange, done.error());
    ReplyEmpty(*exchange, status);
  };
}

Result<int64_t> IntParam(const http::Request& request, std::string_view name, int64_t fallback) {
  std::string_view text = request.param(name);
  if (text.empty())
    return fallback;
  auto number = ParseInt(text);
  if (!number)
    return Fail(Errc::kInvalid, Cat("invalid value for \"", name, "\": ", text));
  return *number;
}

Result<ListOptions> ReadListOptions(const http::Request& request) {
  ListOptions options;
  options.all = request.flag("all");
  options.limit = TRY(IntParam(request, "limit", 0));
  options.filters = TRY(Filters::Parse(request.param("filters"), kContainerFilters));
  return options;
}

void List(const Services& services, Call call) {
  auto options = ReadListOptions(call.request());
  if (!options)
    return ReplyError(*call.exchange, options.error());
  auto list = ListContainers(*services.containers, *services.networks, *options);
  if (!list)
    return ReplyError(*call.exchange, list.error());
  int64_t now = UnixNanosNow();
  JsonWriter json;
  json.Array();
  for (const ContainerPtr& container : *list) {
    WriteContainerSummary(json, *container, *services.networks, now);
  }
  json.End();
  ReplyJson(*call.exchange, 200, json.Take());
}

void Create(const Services& services, Call call) {
  const http::Request& request = call.request();
  Containers::CreateRequest create{std::string(request.param("name")),
                                   std::string(request.param("platform")), request.body};
  services.containers->Create(
      std::move(create), [exchange = call.exchange](Result<Containers::Created> created) {
        if (!created)
          return ReplyError(*exchange, created.error());
        JsonWriter json;
        json.Object().Field("Id", created->id).Field("Warnings", created->warnings).End();
        ReplyJson(*exchange, 201, json.Take());
      });
}

void Inspect(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  bool all = call.role == Role::kAdmin;
  ReplyJson(*call.exchange, 200,
            ContainerInspectJson(*container, *services.networks,
                                 all ? Environment::kShown : Environment::kHidden));
}

void Start(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (container)
    services.containers->Start(container, ReplyWhenDone(call));
}

Result<Containers::StopOptions> ReadStopOptions(const http::Request& request) {
  Containers::StopOptions options;
  options.signal = request.param("signal");
  if (!request.param("t").empty()) {
    int64_t seconds = TRY(IntParam(request, "t", 0));
    options.timeout_seconds = static_cast<int>(std::clamp<int64_t>(seconds, -1, INT32_MAX));
  }
  return options;
}

using StopOperation = void (Containers::*)(ContainerPtr, Containers::StopOptions, Done<>);

template <StopOperation kOperation>
void StopOrRestart(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  auto options = ReadStopOptions(call.request());
  if (!options)
    return ReplyError(*call.exchange, options.error());
  (services.containers->*kOperation)(container, std::move(*options), ReplyWhenDone(call));
}

void Kill(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (container)
    services.containers->Kill(container, call.request().param("signal"), ReplyWhenDone(call));
}

void Pause(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (container)
    services.containers->Pause(container, ReplyWhenDone(call));
}

void Unpause(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (container)
    services.containers->Unpause(container, ReplyWhenDone(call));
}

void Rename(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  services.containers->Rename(container, call.request().param("name"), ReplyWhenDone(call));
}

void Resize(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  auto rows = ParseUint(call.request().param("h"));
  auto columns = ParseUint(call.request().param("w"));
  if (!rows || !columns || *rows > UINT16_MAX || *columns > UINT16_MAX) {
    return ReplyError(*call.exchange,
                      Error(Errc::kInvalid, "resize needs h and w between 0 and 65535"));
  }
  auto resized = services.containers->Resize(container, static_cast<uint16_t>(*rows),
                                             static_cast<uint16_t>(*columns));
  if (!resized)
    return ReplyError(*call.exchange, resized.error());
  ReplyEmpty(*call.exchange, 200);
}

void Remove(const Services& services, Call call) {
  const http::Request& request = call.request();
  if (request.flag("link")) {
    return ReplyError(*call.exchange,
                      Error(Errc::kUnsupported, "links are not supported in this version"));
  }
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  auto force = request.flag("force") ? Containers::Force::kYes : Containers::Force::kNo;
  using TheirVolumes = Containers::TheirVolumes;
  auto volumes = request.flag("v") ? TheirVolumes::kRemove : TheirVolumes::kKeep;
  services.containers->Remove(container, force, volumes, ReplyWhenDone(call));
}

// Removes one after the other, so that what many removals need is not held at once.
class Prune : public std::enable_shared_from_this<Prune> {
 public:
  Prune(const Services& services, http::ExchangePtr exchange, std::vector<ContainerPtr> chosen)
      : services_(services), exchange_(std::move(exchange)), chosen_(std::move(chosen)) {}

  void Next() {
    if (chosen_.empty())
      return Reply();
    ContainerPtr container = std::move(chosen_.back());
    chosen_.pop_back();
    auto remove = [self = shared_from_this(), container](Result<uint64_t> bytes) {
      self->services_.containers->Remove(
          container, Containers::Force::kNo, Containers::TheirVolumes::kKeep,
          [self, container, freed = bytes.value_or(0)](Result<> removed) {
            if (removed) {
              self->removed_.push_back(container->id);
              self->freed_ += freed;
            }
            self->Next();
          });
    };
    OnWorker<uint64_t>(
        services_,
        [directory = container->directory]() -> Result<uint64_t> {
          return AllocatedBelow(AT_FDCWD, directory);
        },
        std::move(remove));
  }

 private:
  void Reply() {
    JsonWriter json;
    json.Object().Field("ContainersDeleted", removed_).Field("SpaceReclaimed", freed_).End();
    ReplyJson(*exchange_, 200, json.Take());
  }

  Services services_;
  http::ExchangePtr exchange_;
  std::vector<ContainerPtr> chosen_;
  std::vector<std::string> removed_;
  uint64_t freed_ = 0;
};

void PruneContainers(const Services& services, Call call) {
  constexpr std::string_view kPruneFilters[] = {"label", "label!", "until"};
  auto filters = Filters::Parse(call.request().param("filters"), kPruneFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  auto before = PruneBefore(*filters);
  if (!before)
    return ReplyError(*call.exchange, before.error());
  std::vector<ContainerPtr> chosen;
  for (ContainerPtr& container : services.containers->All()) {
    bool idle = container->state == ContainerState::kCreated ||
                container->state == ContainerState::kExited ||
                container->state == ContainerState::kDead;
    if (idle && !container->config->OwnedByUpdates() && container->holds == 0 &&
        container->created_nanos < *before && filters->MatchesLabels(container->config->labels))
      chosen.push_back(std::move(container));
  }
  std::make_shared<Prune>(services, call.exchange, std::move(chosen))->Next();
}

Result<WaitCondition> ReadCondition(std::string_view text) {
  if (text.empty() || text == "not-running")
    return WaitCondition::kNotRunning;
  if (text == "next-exit")
    return WaitCondition::kNextExit;
  if (text == "removed")
    return WaitCondition::kRemoved;
  return Fail(Errc::kInvalid, Cat("invalid condition: \"", text, "\""));
}

// The head of the answer goes out at once: docker run does not start the container before it has
// seen it.
void Wait(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call);
  if (!container)
    return;
  auto condition = ReadCondition(call.request().param("condition"));
  if (!condition)
    return ReplyError(*call.exchange, condition.error());
  call.exchange->StartStream(200, {{"Content-Type", "application/json"}});
  uint64_t waiter = services.containers->Wait(
      container, *condition, [exchange = call.exchange](const WaitResult& result) {
        JsonWriter json;
        json.Object().Field("StatusCode", result.exit_code);
        if (!result.error.empty())
          json.Key("Error").Object().Field("Message", result.error).End();
        json.End();
        exchange->Write(Cat(json.text(), "\n"));
        exchange->End();
      });
  if (waiter == 0)
    return;
  call.exchange->OnClose(
      [services, container, waiter] { services.containers->CancelWait(container, waiter); });
}

constexpr Route kRoutes[] = {
    {"GET", "/containers/json", List},
    {"POST", "/containers/create", Create},
    {"POST", "/containers/prune", PruneContainers},
    {"GET", "/containers/{name}/json", Inspect},
    {"POST", "/containers/{name}/start", Start},
    {"POST", "/containers/{name}/stop", StopOrRestart<&Containers::Stop>},
    {"POST", "/containers/{name}/restart", StopOrRestart<&Containers::Restart>},
    {"POST", "/containers/{name}/kill", Kill},
    {"POST", "/containers/{name}/wait", Wait},
    {"POST", "/containers/{name}/attach", AttachContainer},
    {"GET", "/containers/{name}/logs", ContainerLogs},
    {"POST", "/containers/{name}/resize", Resize},
    {"POST", "/containers/{name}/rename", Rename},
    {"POST", "/containers/{name}/pause", Pause},
    {"POST", "/containers/{name}/unpause", Unpause},
    {"DELETE", "/containers/{name}", Remove},
};

}  // namespace

std::span<const Route> ContainerRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
