#include "engine/container_list.h"

#include <algorithm>
#include <limits>

#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::engine {

namespace {

// Filter values that are looked up or parsed once for all containers.
struct Prepared {
  const Filters* filters = nullptr;
  int64_t created_before = std::numeric_limits<int64_t>::max();
  int64_t created_after = std::numeric_limits<int64_t>::min();
  std::vector<int> exit_codes;
  std::vector<std::string> networks;  // names
  const Networks* all_networks = nullptr;
};

Result<Prepared> Prepare(const Containers& containers, const Networks& networks,
                         const Filters& filters) {
  Prepared prepared;
  prepared.filters = &filters;
  prepared.all_networks = &networks;
  for (const std::string& reference : filters.Values("before")) {
    ContainerPtr other = TRY(containers.Find(reference));
    prepared.created_before = std::min(prepared.created_before, other->created_nanos);
  }
  for (const std::string& reference : filters.Values("since")) {
    ContainerPtr other = TRY(containers.Find(reference));
    prepared.created_after = std::max(prepared.created_after, other->created_nanos);
  }
  for (const std::string& code : filters.Values("exited")) {
    auto number = ParseInt(code);
    if (!number)
      return Fail(Errc::kInvalid, Cat("invalid filter 'exited=", code, "'"));
    prepared.exit_codes.push_back(static_cast<int>(*number));
  }
  for (const std::string& state : filters.Values("status"))
    TRY(ParseState(state));
  for (const std::string& health : filters.Values("health")) {
    constexpr std::string_view kWords[] = {"none", "starting", "healthy", "unhealthy"};
    bool known = std::find(std::begin(kWords), std::end(kWords), health) != std::end(kWords);
    if (!known)
      return Fail(Errc::kInvalid, Cat("invalid filter 'health=", health, "'"));
  }
  for (const std::string& reference : filters.Values("network")) {
    auto network = networks.Find(reference);
    prepared.networks.push_back(network ? network->name : reference);
  }
  return prepared;
}

bool AnyValue(const Filters& filters, std::string_view key, auto predicate) {
  return !filters.Has(key) || std::ranges::any_of(filters.Values(key), predicate);
}

// "nginx" and "nginx:latest" are one image, and so is its ID in any length.
bool IsAncestor(const Container& container, const std::string& ancestor) {
  std::string id = container.image_id.hex();
  std::string_view wanted = ancestor;
  if (wanted.starts_with("sha256:"))
    wanted.remove_prefix(7);
  if (wanted.size() >= 4 && id.starts_with(wanted))
    return true;
  auto mine = registry::Reference::Parse(container.config->image);
  auto theirs = registry::Reference::Parse(ancestor);
  return mine && theirs && mine->Familiar() == theirs->Familiar();
}

bool HasVolume(const Container& container, std::string_view wanted) {
  return std::ranges::any_of(container.config->host.mounts, [&](const MountRequest& mount) {
    return mount.target == wanted || mount.source == wanted || mount.volume == wanted;
  });
}

// "80", "80/tcp", "80-90/udp" against the exposed ports of the configuration.
bool Exposes(const Container& container, std::string_view wanted) {
  auto document = JsonDocument::Parse(container.config->config_json, "Config");
  if (!document)
    return false;
  auto split = SplitFirst(wanted, '/');
  std::string_view protocol = split ? split->tail : "tcp";
  std::string_view range = split ? split->head : wanted;
  auto ends = SplitFirst(range, '-');
  auto first = ParseUint(ends ? ends->head : range);
  auto last = ParseUint(ends ? ends->tail : range);
  if (!first || !last)
    return false;
  for (JsonValue port : (*document)["ExposedPorts"]) {
    auto parts = SplitFirst(port.key(), '/');
    auto number = ParseUint(parts ? parts->head : port.key());
    bool same_protocol = (parts ? parts->tail : "tcp") == protocol;
    if (number && same_protocol && *number >= *first && *number <= *last)
      return true;
  }
  return false;
}

bool MatchesName(const Container& container, const std::string& pattern) {
  return MatchesPattern(pattern, container.name) ||
         MatchesPattern(pattern, Cat("/", container.name));
}

bool InNetwork(const Container& container, const Prepared& prepared) {
  auto named = [&](std::string_view name) {
    return std::ranges::find(prepared.networks, name) != prepared.networks.end();
  };
  return prepared.networks.empty() || named(container.config->host.network_mode) ||
         std::ranges::any_of(container.config->endpoints, named, &EndpointRequest::network);
}

// "80", "80-90/udp" against the ports of the host that lead to the container.
bool Publishes(const Container& container, const Networks& networks, const std::string& wanted) {
  auto port = ParsePort(wanted);
  auto attachment = networks.Of(container.id);
  return port && attachment && std::ranges::any_of(attachment->ports, [&](const BoundPort& mine) {
           return mine.protocol == port->protocol && mine.host_port >= port->first &&
                  mine.host_port <= port->last;
         });
}

bool MatchesExit(const Container& container, const Prepared& prepared) {
  if (prepared.exit_codes.empty())
    return true;
  return !HasProcess(container.state) && container.status.started_nanos != 0 &&
         std::ranges::find(prepared.exit_codes, container.status.exit_code) !=
             prepared.exit_codes.end();
}

bool Matches(const Container& container, const Prepared& prepared) {
  const Filters& filters = *prepared.filters;
  return container.created_nanos < prepared.created_before &&
         container.created_nanos > prepared.created_after && MatchesExit(container, prepared) &&
         filters.MatchesPrefix("id", container.id) &&
         filters.MatchesExactly("status", StateName(container.state)) &&
         filters.MatchesExactly("health", HealthName(container.health.status)) &&
         InNetwork(container, prepared) && filters.MatchesLabels(container.config->labels) &&
         !filters.Flag("is-task") &&
         AnyValue(filters, "publish",
                  [&](const std::string& value) {
                    return Publishes(container, *prepared.all_networks, value);
                  }) &&
         AnyValue(filters, "name",
                  [&](const std::string& value) { return MatchesName(container, value); }) &&
         AnyValue(filters, "ancestor",
                  [&](const std::string& value) { return IsAncestor(container, value); }) &&
         AnyValue(filters, "volume",
                  [&](const std::string& value) { return HasVolume(container, value); }) &&
         AnyValue(filters, "expose",
                  [&](const std::string& value) { return Exposes(container, value); });
}

}  // namespace

Result<std::vector<ContainerPtr>> ListContainers(const Containers& containers,
                                                 const Networks& networks,
                                                 const ListOptions& options) {
  Prepared prepared = TRY(Prepare(containers, networks, options.filters));
  bool all = options.all || options.limit > 0 || options.filters.Has("status");
  std::vector<ContainerPtr> list;
  for (ContainerPtr& container : containers.All()) {
    if (options.limit > 0 && static_cast<int64_t>(list.size()) == options.limit)
      break;
    if (!all && !HasProcess(container->state))
      continue;
    if (Matches(*container, prepared))
      list.push_back(std::move(container));
  }
  return list;
}

}  // namespace wherry::engine
