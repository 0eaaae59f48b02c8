// /volumes: create, list, inspect, remove, prune (docker-api.md 2.1).
#include <set>

#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/volume_json.h"
#include "engine/container_fields.h"
#include "engine/container_names.h"
#include "engine/containers.h"
#include "engine/filters.h"

namespace wherry::engine::api {

namespace {

constexpr std::string_view kListFilters[] = {"dangling", "driver", "label", "name"};
constexpr std::string_view kPruneFilters[] = {"all", "label", "label!"};
// Clients below it prune volumes with names as well.
constexpr int kPrunesAnonymousOnly = 142;

void Publish(const Services& services, std::string_view action, const std::string& name) {
  Event event{"volume", std::string(action), name, {{"driver", "local"}}};
  services.events->Publish(std::move(event));
}

Result<Volume> ReadVolume(const http::Request& request) {
  auto body = TRY(JsonBody(request));
  if (!body.root().IsObject())
    return Fail(Errc::kInvalid, "the request body must be a JSON object");
  TRY(CheckType(body["Name"], FieldType::kString, "VolumeCreateOptions", "Name"));
  TRY(CheckType(body["Driver"], FieldType::kString, "VolumeCreateOptions", "Driver"));
  TRY(CheckType(body["Labels"], FieldType::kStringMap, "VolumeCreateOptions", "Labels"));
  std::string_view driver = body["Driver"].str();
  if (!driver.empty() && driver != "local") {
    return Fail(Errc::kNotFound, Cat("error looking up volume plugin ", driver, ": plugin \"",
                                     driver, "\" not found"));
  }
  if (!IsEmptyValue(body["DriverOpts"]))
    return Fail(Errc::kUnsupported, "options of volumes (--opt) are not supported in this version");
  if (!IsEmptyValue(body["ClusterVolumeSpec"]))
    return Fail(Errc::kUnsupported, "cluster volumes are not supported");
  Volume volume{.name = std::string(body["Name"].str()), .labels = {}};
  volume.anonymous = volume.name.empty();
  if (volume.anonymous)
    volume.name = RandomId();
  for (JsonValue label : body["Labels"])
    volume.labels[std::string(label.key())] = label.str();
  return volume;
}

void CreateVolume(const Services& services, Call call) {
  auto wanted = ReadVolume(call.request());
  if (!wanted)
    return ReplyError(*call.exchange, wanted.error());
  struct Outcome {
    Volume volume;
    bool created = false;
  };
  OnWorker<Outcome>(
      services,
      [services, wanted = std::move(*wanted)]() mutable -> Result<Outcome> {
        Outcome outcome;
        outcome.volume = TRY(services.volumes->Create(std::move(wanted), &outcome.created));
        return outcome;
      },
      [services, exchange = call.exchange](Result<Outcome> outcome) {
        if (!outcome)
          return ReplyError(*exchange, outcome.error());
        if (outcome->created)
          Publish(services, "create", outcome->volume.name);
        JsonWriter json;
        WriteVolume(json, *services.volumes, outcome->volume);
        ReplyJson(*exchange, 201, json.Take());
      });
}

bool MatchesName(const Filters& filters, const std::string& name) {
  if (!filters.Has("name"))
    return true;
  for (const std::string& part : filters.Values("name")) {
    if (name.find(part) != std::string::npos)
      return true;
  }
  return false;
}

void ListVolumes(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kListFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  JsonWriter json;
  json.Object().Key("Volumes").Array();
  for (const Volume& volume : services.volumes->List()) {
    bool used = !services.containers->UsersOfVolume(volume.name).empty();
    bool dangling = !filters->Has("dangling") || filters->Flag("dangling") != used;
    if (dangling && MatchesName(*filters, volume.name) &&
        filters->MatchesExactly("driver", "local") && filters->MatchesLabels(volume.labels))
      WriteVolume(json, *services.volumes, volume);
  }
  json.End().Key("Warnings").Array().End().End();
  ReplyJson(*call.exchange, 200, json.Take());
}

void InspectVolume(const Services& services, Call call) {
  auto volume = services.volumes->Find(call.name);
  if (!volume)
    return ReplyError(*call.exchange, volume.error());
  JsonWriter json;
  WriteVolume(json, *services.volumes, *volume);
  ReplyJson(*call.exchange, 200, json.Take());
}

Result<> CheckRemovable(const Services& services, const std::string& name) {
  TRY(services.volumes->Find(name));
  auto users = services.containers->UsersOfVolume(name);
  if (users.empty())
    return {};
  std::string list;
  for (const std::string& id : users)
    Append(list, list.empty() ? "" : ", ", id);
  return Fail(Errc::kConflict, Cat("remove ", name, ": volume is in use - [", list, "]"));
}

void RemoveVolume(const Services& services, Call call) {
  auto removable = CheckRemovable(services, call.name);
  bool forgiven =
      !removable && removable.error().code() == Errc::kNotFound && call.request().flag("force");
  if (forgiven)
    return ReplyEmpty(*call.exchange, 204);
  if (!removable)
    return ReplyError(*call.exchange, removable.error());
  OnWorker<void>(
      services, [services, name = call.name] { return services.volumes->Remove(name); },
      [services, name = call.name, exchange = call.exchange](Result<> removed) {
        if (!removed)
          return ReplyError(*exchange, removed.error());
        Publish(services, "destroy", name);
        ReplyEmpty(*exchange, 204);
      });
}

struct Pruned {
  std::vector<std::string> names;
  uint64_t bytes = 0;
};

void PruneVolumes(const Services& services, Call call) {
  auto filters = Filters::Parse(call.request().param("filters"), kPruneFilters);
  if (!filters)
    return ReplyError(*call.exchange, filters.error());
  bool all = filters->Flag("all") || call.api_version < kPrunesAnonymousOnly;
  std::vector<std::string> chosen;
  for (const Volume& volume : services.volumes->List()) {
    if ((all || volume.anonymous) && services.containers->UsersOfVolume(volume.name).empty() &&
        filters->MatchesLabels(volume.labels))
      chosen.push_back(volume.name);
  }
  OnWorker<Pruned>(
      services,
      [services, chosen = std::move(chosen)]() -> Result<Pruned> {
        Pruned pruned;
        for (const std::string& name : chosen) {
          uint64_t bytes = TRY(services.volumes->Measure(name));
          TRY(services.volumes->Remove(name));
          pruned.names.push_back(name);
          pruned.bytes += bytes;
        }
        return pruned;
      },
      [services, exchange = call.exchange](Result<Pruned> pruned) {
        if (!pruned)
          return ReplyError(*exchange, pruned.error());
        for (const std::string& name : pruned->names)
          Publish(services, "destroy", name);
        JsonWriter json;
        json.Object().Field("VolumesDeleted", pruned->names);
        json.Field("SpaceReclaimed", pruned->bytes).End();
        ReplyJson(*exchange, 200, json.Take());
      });
}

constexpr Route kRoutes[] = {
    {"GET", "/volumes", ListVolumes},
    {"POST", "/volumes/create", CreateVolume},
    {"POST", "/volumes/prune", PruneVolumes},
    {"GET", "/volumes/{name}", InspectVolume},
    {"DELETE", "/volumes/{name}", RemoveVolume},
};

}  // namespace

std::span<const Route> VolumeRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
