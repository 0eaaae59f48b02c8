// /networks: create, list, inspect, connect, disconnect, remove, prune (docker-api.md 5).
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/network_json.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

constexpr std::string_view kListFilters[] = {"dangling", "driver", "id",  "label",
                                             "name",     "scope",  "type"};
constexpr std::string_view kPruneFilters[] = {"label", "label!", "until"};

void Publish(const Services& services, std::string_view action, const Network& network) {
  Event event{"network", std::string(action), network.id, {}};
  event.attributes["name"] = network.name;
  event.attributes["type"] = DriverName(network.driver);
  services.events->Publish(std::move(event));
}

void CreateNetwork(const Services& services, Call call) {
  auto body = JsonBody(call.request());
  auto wanted = body ? ParseNetworkRequest(body->root()) : std::unexpected(body.error().Clone());
  if (!wanted)
    return ReplyError(*call.exchange, wanted.error());
  OnWorker<Network>(
      services,
      [networks = services.networks, wanted = std::move(*wanted)]() mutable {
        return networks->Create(std::move(wanted));
      },
      [services, exchange = call.exchange](Result<Network> created) {
        if (!created)
          return ReplyError(*exchange, created.error());
        Publish(services, "create", *created);
        JsonWriter json;
        json.Object().Field("Id", created->id).Field("Warning", "").End();
        ReplyJson(*exchange, 201, json.Take());
      });
}

bool AnyPart(const Filters& filters, std::string_view key, std::string_view text) {
  if (!filters.Has(key))
    return true;
  for (const std::string& part : filters.Values(key)) {
    if (text.find(part) != std::string_view::npos)
      return true;
  }
  return false;
}

bool Matches(const Services& services, const Filters& filters, const Network& network) {
  bool used = network.predefined || !services.containers->UsersOfNetwork(network).empty();
  return AnyPart(filters, "name", network.name) && AnyPart(filters, "id", network.id) &&
         filters.MatchesExactly("driver", DriverName(network.driver)) &&
         filters.MatchesExactly("scope", "local") &&
         filters.MatchesExactly("type", network.predefined ? "builtin" : "custom") &&
         (!filters.Has("dangling") || filters.Flag("dangling") != used) &&
         filters.MatchesLabels(network.labels);
}

void ListNetworks(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kListFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  JsonWriter json;
  json.Array();
  for (const Network& network : services.networks->List()) {
    if (Matches(services, *filters, network))
      WriteNetwork(json, *services.networks, network, false);
  }
  json.End();
  ReplyJson(*call.exchange, 200, json.Take());
}

void InspectNetwork(const Services& services, Call call) {
  auto network = services.networks->Find(call.name);
  if (!network)
    return ReplyError(*call.exchange, network.error());
  JsonWriter json;
  WriteNetwork(json, *services.networks, *network, true);
  ReplyJson(*call.exchange, 200, json.Take());
}

void RemoveNetwork(const Services& services, Call call) {
  auto network = services.networks->Find(call.name);
  if (!network)
    return ReplyError(*call.exchange, network.error());
  OnWorker<void>(
      services, [networks = services.networks, id = network->id] { return networks->Remove(id); },
      [services, network = *network, exchange = call.exchange](Result<> removed) {
        if (!removed)
          return ReplyError(*exchange, removed.error());
        Publish(services, "destroy", network);
        ReplyEmpty(*exchange, 204);
      });
}

void PruneNetworks(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kPruneFilters);
  auto before = filters ? PruneBefore(*filters) : std::unexpected(filters.error().Clone());
  if (!before)
    return ReplyError(*call.exchange, before.error());
  std::vector<Network> chosen;
  for (const Network& network : services.networks->List()) {
    if (!network.predefined && network.created_nanos < *before &&
        services.containers->UsersOfNetwork(network).empty() &&
        filters->MatchesLabels(network.labels))
      chosen.push_back(network);
  }
  using Removed = std::vector<Network>;
  OnWorker<Removed>(
      services,
      [networks = services.networks, chosen = std::move(chosen)]() -> Result<Removed> {
        Removed removed;
        for (const Network& network : chosen) {
          if (networks->Remove(network.id))  // else a container came in between
            removed.push_back(network);
        }
        return removed;
      },
      [services, exchange = call.exchange](Result<Removed> removed) {
        JsonWriter json;
        json.Object().Key("NetworksDeleted").Array();
        for (const Network& network : *removed) {
          Publish(services, "destroy", network);
          json.String(network.name);
        }
        json.End().End();
        ReplyJson(*exchange, 200, json.Take());
      });
}

// The container a connect or disconnect names, and the answer to it.
void WithContainer(const Services& services, const Call& call, auto change) {
  auto body = JsonBody(call.request());
  if (!body)
    return ReplyError(*call.exchange, body.error());
  auto network = services.networks->Find(call.name);
  if (!network)
    return ReplyError(*call.exchange, network.error());
  auto container = services.containers->Find((*body)["Container"].str());
  if (!container)
    return ReplyError(*call.exchange, container.error());
  change(*network, *container, body->root(), [exchange = call.exchange](Result<> done) {
    if (!done)
      return ReplyError(*exchange, done.error());
    ReplyEmpty(*exchange, 200);
  });
}

void ConnectNetwork(const Services& services, Call call) {
  WithContainer(
      services, call,
      [&](const Network& network, const ContainerPtr& container, JsonValue body, Done<> done) {
        auto request = ParseEndpoint(network.name, body["EndpointConfig"]);
        if (!request)
          return done(std::unexpected(std::move(request).error()));
        services.containers->Connect(container, std::move(*request), std::move(done));
      });
}

void DisconnectNetwork(const Services& services, Call call) {
  WithContainer(services, call,
                [&](const Network& network, const ContainerPtr& container, JsonValue, Done<> done) {
                  services.containers->Disconnect(container, network.id, std::move(done));
                });
}

constexpr Route kRoutes[] = {
    {"GET", "/networks", ListNetworks},
    {"POST", "/networks/create", CreateNetwork},
    {"POST", "/networks/prune", PruneNetworks},
    {"POST", "/networks/{name}/connect", ConnectNetwork},
    {"POST", "/networks/{name}/disconnect", DisconnectNetwork},
    {"GET", "/networks/{name}", InspectNetwork},
    {"DELETE", "/networks/{name}", RemoveNetwork},
};

}  // namespace

std::span<const Route> NetworkRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
