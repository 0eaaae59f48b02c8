#include "engine/compose/release_draft.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <vector>

#include "core/base/text.h"
#include "engine/compose/body.h"

namespace wherry::compose {

namespace {

JsonValue FindNamed(JsonValue list, std::string_view name) {
  for (JsonValue element : list) {
    if (element["name"].str() == name)
      return element;
  }
  return {};
}

// What a device cannot have, or a release cannot say.
Result<> CheckService(const Group& group, const Service& service) {
  auto refuse = [&](std::string_view what) {
    return Fail(Errc::kUnsupported, Cat("service ", service.name, ": ", what));
  };
  if (service.scale != 1)
    return refuse("more than one container of a service is not supported in releases");
  if (service.network_mode.starts_with("service:"))
    return refuse("network_mode \"service:...\" is not supported in releases");
  for (const Mount& mount : service.mounts) {
    bool is_local =
        mount.source == group.directory || mount.source.starts_with(Cat(group.directory, "/"));
    if (mount.type == Mount::Type::kBind && is_local)
      return refuse(Cat(mount.source,
                        " is on this machine, not on the device: use a volume, or "
                        "put it into the image"));
  }
  return {};
}

// A row by its name and the members the group gives it, `base`'s over them.
void WriteNamed(JsonWriter& json, std::string_view name, JsonValue base,
                const std::function<void(std::string_view member)>& write,
                std::initializer_list<std::string_view> members) {
  json.Object().Field("name", name);
  for (std::string_view member : members) {
    if (!base[member])
      write(member);
  }
  for (JsonValue member : base) {
    if (member.key() != "name")
      json.Field(member.key(), member);
  }
  json.End();
}

// The body of a create request without one member.
void WriteConfig(JsonWriter& json, const std::string& body, std::string_view without) {
  JsonDocument document = JsonDocument::Parse(body, "body").value();  // we made it
  json.Key("config").Object();
  for (JsonValue member : document.root()) {
    if (member.key() != without)
      json.Field(member.key(), member);
  }
  json.End();
}

void WriteApp(JsonWriter& json, const Group& group, const Service& service, JsonValue base) {
  auto write = [&](std::string_view member) {
    if (member == "image") {
      json.Field(member, service.image);
    } else if (member == "config") {
      WriteConfig(json, PlainContainerBody(group, service), "Image");
    } else if (!service.depends_on.empty()) {
      json.Key(member).Array();
      for (const Dependency& dependency : service.depends_on)
        json.String(dependency.service);
      json.End();
    }
  };
  WriteNamed(json, service.name, base, write, {"image", "config", "after"});
}

template <class T>
void WriteShared(JsonWriter& json, std::string_view key, const std::vector<T>& all,
                 std::string (*body)(const T&), JsonValue base) {
  std::set<std::string_view> written;
  json.Key(key).Array();
  for (const T& shared : all) {
    if (shared.external)
      continue;  // the device has it
    written.insert(shared.name);
    WriteNamed(json, shared.name, FindNamed(base, shared.name),
               [&](std::string_view) { WriteConfig(json, body(shared), "Name"); }, {"config"});
  }
  for (JsonValue element : base) {
    if (!written.contains(element["name"].str()))
      json.Value(element);
  }
  json.End();
}

}  // namespace

Result<std::string> ReleaseDraft(const Group& group, std::span<const Service* const> services,
                                 JsonValue base) {
  JsonWriter json;
  json.Object();
  if (!base["name"])
    json.Field("name", group.name);
  for (JsonValue member : base) {
    if (member.key() != "apps" && member.key() != "networks" && member.key() != "volumes")
      json.Field(member.key(), member);
  }
  json.Key("apps").Array();
  for (const Service* service : services) {
    TRY(CheckService(group, *service));
    WriteApp(json, group, *service, FindNamed(base["apps"], service->name));
  }
  for (JsonValue app : base["apps"]) {
    if (std::ranges::find(services, app["name"].str(), &Service::name) == services.end())
      json.Value(app);
  }
  json.End();
  WriteShared(json, "networks", group.networks, PlainNetworkBody, base["networks"]);
  WriteShared(json, "volumes", group.volumes, PlainVolumeBody, base["volumes"]);
  json.End();
  return json.Take();
}

}  // namespace wherry::compose
