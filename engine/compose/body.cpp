#include "engine/compose/body.h"

#include <algorithm>

#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::compose {

namespace {

using Labels = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kServicePrefix = "service:";

void WriteMap(JsonWriter& json, std::string_view key, const Labels& map) {
  json.Key(key).Object();
  for (const auto& [name, text] : map)
    json.Field(name, text);
  json.End();
}

// "web:service_healthy:false": what `down` of docker compose orders by.
std::string DependencyText(const Service& service) {
  constexpr std::string_view kWords[] = {"service_started", "service_healthy",
                                         "service_completed_successfully"};
  std::string text;
  for (const Dependency& dependency : service.depends_on) {
    Append(text, text.empty() ? "" : ",", dependency.service, ":",
           kWords[static_cast<size_t>(dependency.condition)], ":false");
  }
  return text;
}

Labels ContainerLabels(const Group& group, const Service& service, const Instance& instance) {
  Labels labels = service.labels;
  labels[std::string(kProjectLabel)] = group.name;
  labels[std::string(kServiceLabel)] = service.name;
  labels[std::string(kNumberLabel)] = Cat(instance.number);
  labels[std::string(kOneOffLabel)] = instance.one_off ? "True" : "False";
  labels[std::string(kHashLabel)] = ConfigHash(group, service);
  labels[std::string(kImageLabel)] = instance.image_id;
  labels["com.docker.compose.depends_on"] = DependencyText(service);
  labels["com.docker.compose.project.config_files"] = Join(group.files, ",");
  labels["com.docker.compose.project.working_dir"] = group.directory;
  labels["com.docker.compose.version"] = WHERRY_VERSION;
  return labels;
}

std::string VolumeName(const Group& group, const Mount& mount) {
  const Volume* volume = group.FindVolume(mount.source);
  return volume == nullptr ? mount.source : volume->name;
}

// The short form says it all.
bool IsBindWord(const Mount& mount) {
  bool plain = mount.propagation.empty() && !mount.must_exist && !mount.no_copy;
  return mount.type != Mount::Type::kTmpfs && !mount.source.empty() && plain;
}

void WriteMount(JsonWriter& json, const Group& group, const Mount& mount) {
  constexpr std::string_view kTypes[] = {"bind", "volume", "tmpfs"};
  json.Object().Field("Type", kTypes[static_cast<size_t>(mount.type)]);
  if (!mount.source.empty())
    json.Field("Source", VolumeName(group, mount));
  json.Field("Target", mount.target).Field("ReadOnly", mount.read_only);
  if (!mount.propagation.empty())
    json.Key("BindOptions").Object().Field("Propagation", mount.propagation).End();
  if (mount.no_copy)
    json.Key("VolumeOptions").Object().Field("NoCopy", true).End();
  if (mount.tmpfs_size > 0 || mount.tmpfs_mode > 0) {
    json.Key("TmpfsOptions").Object().Field("SizeBytes", mount.tmpfs_size);
    json.Field("Mode", mount.tmpfs_mode).End();
  }
  json.End();
}

void WriteMounts(JsonWriter& json, const Group& group, const Service& service,
                 const Instance& instance) {
  std::vector<std::string> binds;
  for (const Mount& mount : service.mounts) {
    if (!IsBindWord(mount))
      continue;
    std::string mode = mount.mode.empty() ? (mount.read_only ? "ro" : "rw") : mount.mode;
    binds.push_back(Cat(VolumeName(group, mount), ":", mount.target, ":", mode));
  }
  if (!binds.empty())
    json.Field("Binds", binds);
  json.Key("Mounts").Array();
  for (const Mount& mount : service.mounts) {
    bool inherited = std::ranges::any_of(
        instance.volumes, [&](const auto& volume) { return volume.target == mount.target; });
    if (!IsBindWord(mount) && !inherited)
      WriteMount(json, group, mount);
  }
  for (const Instance::Inherited& volume : instance.volumes) {
    json.Object().Field("Type", "volume").Field("Source", volume.volume);
    json.Field("Target", volume.target).End();
  }
  json.End();
}

void WriteExposed(JsonWriter& json, const Service& service) {
  std::vector<std::string> ports = service.expose;
  for (const Port& port : service.ports)
    ports.push_back(port.port);
  std::ranges::sort(ports);
  auto repeated = std::ranges::unique(ports);
  ports.erase(repeated.begin(), repeated.end());
  if (ports.empty())
    return;
  json.Key("ExposedPorts").Object();
  for (const std::string& port : ports)
    json.Key(port).Object().End();
  json.End();
}

void WritePublished(JsonWriter& json, const Service& service) {
  if (service.ports.empty())
    return;
  std::map<std::string_view, std::vector<const Port*>> by_port;
  for (const Port& port : service.ports)
    by_port[port.port].push_back(&port);
  json.Key("PortBindings").Object();
  for (const auto& [name, ports] : by_port) {
    json.Key(name).Array();
    for (const Port* port : ports)
      json.Object().Field("HostIp", port->address).Field("HostPort", port->host).End();
    json.End();
  }
  json.End();
}

std::string NetworkName(const Group& group, const NetworkUse& use) {
  const Network* network = group.FindNetwork(use.network);
  return network == nullptr ? use.network : network->name;
}

std::string NetworkMode(const Group& group, const Service& service, const Instance& instance) {
  if (service.network_mode.starts_with(kServicePrefix) && !instance.network_container.empty())
    return Cat("container:", instance.network_container);
  if (!service.network_mode.empty() || service.networks.empty())
    return service.network_mode;
  return NetworkName(group, service.networks[0]);
}

void WriteNetworking(JsonWriter& json, const Group& group, const Service& service,
                     const Instance& instance) {
  if (service.networks.empty())
    return;
  json.Key("NetworkingConfig").Object().Key("EndpointsConfig").Object();
  for (const NetworkUse& use : service.networks) {
    std::vector<std::string> aliases;
    if (!instance.name.empty())
      aliases.push_back(instance.name);
    if (!instance.one_off || instance.use_aliases) {
      aliases.push_back(service.name);
      aliases.insert(aliases.end(), use.aliases.begin(), use.aliases.end());
    }
    json.Key(NetworkName(group, use)).Object().Field("Aliases", aliases);
    if (!use.mac_address.empty())
      json.Field("MacAddress", use.mac_address);
    json.Key("IPAMConfig").Object();
    if (!use.ipv4.empty() && !instance.one_off)
      json.Field("IPv4Address", use.ipv4);
    json.End().End();
  }
  json.End().End();
}

std::string Body(const Group& group, const Service& service, const Instance& instance,
                 const Labels& labels) {
  JsonWriter json;
  json.Object().Field("Image", service.image);
  std::vector<std::string> environment;
  for (const auto& [name, text] : service.environment)
    environment.push_back(Cat(name, "=", text));
  if (!environment.empty())
    json.Field("Env", environment);
  json.Field("Tty", service.tty).Field("OpenStdin", service.stdin_open);
  json.Field("StdinOnce", service.stdin_open && instance.attach_input);
  json.Field("AttachStdin", instance.attach_input);
  json.Field("AttachStdout", true).Field("AttachStderr", true);
  WriteMap(json, "Labels", labels);
  WriteExposed(json, service);
  for (const auto& [member, value] : service.config)
    json.Key(member).Raw(value);
  json.Key("HostConfig").Object();
  for (const auto& [member, value] : service.host_config)
    json.Key(member).Raw(value);
  if (std::string mode = NetworkMode(group, service, instance); !mode.empty())
    json.Field("NetworkMode", mode);
  if (instance.auto_remove)
    json.Field("AutoRemove", true);
  WriteMounts(json, group, service, instance);
  WritePublished(json, service);
  json.End();
  WriteNetworking(json, group, service, instance);
  json.End();
  return json.Take();
}

// Name, driver and options; the labels of docker compose only where `group` is given.
std::string NetworkText(const Group* group, const Network& network) {
  JsonWriter json;
  json.Object().Field("Name", network.name);
  json.Field("Driver", network.driver.empty() ? "bridge" : network.driver);
  json.Field("Internal", network.internal);
  WriteMap(json, "Options", network.options);
  Labels labels = network.labels;
  if (group != nullptr) {
    labels[std::string(kProjectLabel)] = group->name;
    labels["com.docker.compose.network"] = network.key;
    labels["com.docker.compose.version"] = WHERRY_VERSION;
    labels[std::string(kHashLabel)] = NetworkHash(network);
  }
  WriteMap(json, "Labels", labels);
  if (!network.subnets.empty()) {
    json.Key("IPAM").Object().Key("Config").Array();
    for (const Network::Subnet& subnet : network.subnets) {
      json.Object();
      if (!subnet.subnet.empty())
        json.Field("Subnet", subnet.subnet);
      if (!subnet.gateway.empty())
        json.Field("Gateway", subnet.gateway);
      if (!subnet.ip_range.empty())
        json.Field("IPRange", subnet.ip_range);
      json.End();
    }
    json.End().End();
  }
  json.End();
  return json.Take();
}

std::string VolumeText(const Group* group, const Volume& volume) {
  JsonWriter json;
  json.Object().Field("Name", volume.name);
  if (!volume.driver.empty())
    json.Field("Driver", volume.driver);
  WriteMap(json, "DriverOpts", volume.options);
  Labels labels = volume.labels;
  if (group != nullptr) {
    labels[std::string(kProjectLabel)] = group->name;
    labels["com.docker.compose.volume"] = volume.key;
    labels["com.docker.compose.version"] = WHERRY_VERSION;
    labels[std::string(kHashLabel)] = VolumeHash(volume);
  }
  WriteMap(json, "Labels", labels);
  json.End();
  return json.Take();
}

}  // namespace

std::string ContainerBody(const Group& group, const Service& service, const Instance& instance) {
  return Body(group, service, instance, ContainerLabels(group, service, instance));
}

std::string PlainContainerBody(const Group& group, const Service& service) {
  return Body(group, service, {}, service.labels);
}

std::string ConfigHash(const Group& group, const Service& service) {
  return Digest::Of(PlainContainerBody(group, service)).hex();
}

std::string ContainerName(const Group& group, const Service& service, int64_t number) {
  return service.container_name.empty() ? Cat(group.name, "-", service.name, "-", number)
                                        : service.container_name;
}

std::string NetworkBody(const Group& group, const Network& network) {
  return NetworkText(&group, network);
}

std::string VolumeBody(const Group& group, const Volume& volume) {
  return VolumeText(&group, volume);
}

std::string PlainNetworkBody(const Network& network) {
  return NetworkText(nullptr, network);
}

std::string PlainVolumeBody(const Volume& volume) {
  return VolumeText(nullptr, volume);
}

std::string NetworkHash(const Network& network) {
  return Digest::Of(PlainNetworkBody(network)).hex();
}

std::string VolumeHash(const Volume& volume) {
  return Digest::Of(PlainVolumeBody(volume)).hex();
}

}  // namespace wherry::compose
