#include "cli/compose/resources.h"

#include <set>

#include "cli/filters.h"
#include "core/base/text.h"
#include "engine/compose/body.h"

namespace wherry::cli {

namespace {

// What there is to know about one network or volume.
struct Resource {
  std::string_view kind;        // "network"
  std::string_view collection;  // "/networks"
  const std::string& name;
  bool external;
  std::string body;
  std::string hash;
};

Result<> Provide(const ComposeCall& call, const Resource& resource) {
  auto found = call.client.Get(Target(Cat(resource.collection, "/", Segment(resource.name))));
  if (!found && found.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(found).error());
  // A prefix of an ID is found, too.
  bool is_there = found && (*found)["Name"].str() == resource.name;
  if (resource.external) {
    if (is_there)
      return {};
    return Fail(Errc::kNotFound, Cat("the ", resource.kind, " ", resource.name,
                                     " is external and not there; make it with `wherry ",
                                     resource.kind, " create ", resource.name, "`"));
  }
  if (!is_there) {
    TRY_CTX(Cat(resource.kind, " ", resource.name),
            call.client.Post(Target(Cat(resource.collection, "/create")), resource.body));
    Say(Cat(resource.kind == "network" ? "Network " : "Volume ", resource.name, "  Created"));
    return {};
  }
  JsonValue labels = (*found)["Labels"];
  std::string_view owner = labels[compose::kProjectLabel].str();
  std::string_view hash = labels[compose::kHashLabel].str();
  if (owner != call.project.group.name) {
    Say(Cat("WARNING: the ", resource.kind, " ", resource.name,
            " was there and is not of this project; say external: true to use it"));
  } else if (!hash.empty() && hash != resource.hash) {
    Say(Cat("WARNING: the ", resource.kind, " ", resource.name,
            " was made from another definition; `down` removes it, `up` makes it anew"));
  }
  return {};
}

Result<> RemoveLabelled(const ComposeCall& call, std::string_view kind, std::string_view collection,
                        JsonValue list) {
  for (JsonValue entry : list) {
    std::string name(entry["Name"].str());
    if (entry["Labels"][compose::kProjectLabel].str() != call.project.group.name)
      continue;
    auto removed = call.client.Delete(Target(Cat(collection, "/", Segment(name))));
    if (!removed && removed.error().code() != Errc::kNotFound) {
      Say(Cat("WARNING: ", kind, " ", name, " stays: ", removed.error().message()));
      continue;
    }
    Say(Cat(kind, " ", name, "  Removed"));
  }
  return {};
}

}  // namespace

Result<> ProvideResources(const ComposeCall& call,
                          const std::vector<const compose::Service*>& services) {
  std::set<std::string_view> networks, volumes;
  for (const compose::Service* service : services) {
    for (const compose::NetworkUse& use : service->networks)
      networks.insert(use.network);
    for (const compose::Mount& mount : service->mounts)
      volumes.insert(mount.source);
  }
  const compose::Group& group = call.project.group;
  for (const compose::Network& network : group.networks) {
    if (networks.contains(network.key)) {
      TRY(Provide(call, {"network", "/networks", network.name, network.external,
                         NetworkBody(group, network), NetworkHash(network)}));
    }
  }
  for (const compose::Volume& volume : group.volumes) {
    if (volumes.contains(volume.key)) {
      TRY(Provide(call, {"volume", "/volumes", volume.name, volume.external,
                         VolumeBody(group, volume), VolumeHash(volume)}));
    }
  }
  return {};
}

Result<> RemoveNetworks(const ComposeCall& call) {
  std::string filters =
      TRY(FiltersJson({Cat("label=", compose::kProjectLabel, "=", call.project.group.name)}));
  auto list = TRY(call.client.Get(Target("/networks", {{"filters", filters}})));
  return RemoveLabelled(call, "Network", "/networks", list.root());
}

Result<> RemoveVolumes(const ComposeCall& call) {
  std::string filters =
      TRY(FiltersJson({Cat("label=", compose::kProjectLabel, "=", call.project.group.name)}));
  auto list = TRY(call.client.Get(Target("/volumes", {{"filters", filters}})));
  return RemoveLabelled(call, "Volume", "/volumes", list["Volumes"]);
}

}  // namespace wherry::cli
