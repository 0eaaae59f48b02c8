// Names of containers in networks: see networks.h.
#include <algorithm>

#include "core/base/text.h"
#include "engine/network/networks.h"

namespace wherry::engine {

namespace {

constexpr size_t kOwnNames = 2;  // of an endpoint: container name, short ID

bool IsCalled(const Endpoint& endpoint, bool aside, std::string_view name) {
  // Of one that is aside nobody else has the first names.
  size_t count = std::min(endpoint.names.size(), aside ? kOwnNames : SIZE_MAX);
  return std::ranges::any_of(std::span(endpoint.names).first(count), [&](const std::string& other) {
    return EqualsIgnoreCase(other, name);
  });
}

}  // namespace

// All endpoints in the networks of a container, its own among them.
void Networks::ForNeighbours(std::string_view container_id,
                             std::move_only_function<void(const Endpoint&, bool)> use) const {
  auto asking = lives_.find(container_id);
  if (asking == lives_.end())
    return;
  for (const Endpoint& mine : asking->second.attachment.endpoints) {
    for (const auto& [id, live] : lives_) {
      for (const Endpoint& theirs : live.attachment.endpoints) {
        if (theirs.network_id == mine.network_id)
          use(theirs, live.attachment.aside);
      }
    }
  }
}

std::vector<net::Ipv4> Networks::Resolve(std::string_view container_id,
                                         std::string_view name) const {
  std::lock_guard lock(mutex_);
  std::vector<net::Ipv4> addresses;
  ForNeighbours(container_id, [&](const Endpoint& endpoint, bool aside) {
    if (IsCalled(endpoint, aside, name))
      addresses.push_back(endpoint.address);
  });
  return addresses;
}

std::optional<std::string> Networks::NameOf(std::string_view container_id,
                                            net::Ipv4 address) const {
  std::lock_guard lock(mutex_);
  std::optional<std::string> name;
  ForNeighbours(container_id, [&](const Endpoint& endpoint, bool) {
    auto network = networks_.find(endpoint.network_id);
    if (endpoint.address == address && !endpoint.names.empty() && network != networks_.end())
      name = Cat(endpoint.names.front(), ".", network->second.name);
  });
  return name;
}

bool Networks::LeadsOut(std::string_view container_id) const {
  std::lock_guard lock(mutex_);
  auto asking = lives_.find(container_id);
  if (asking == lives_.end())
    return false;
  return std::ranges::any_of(asking->second.attachment.endpoints, [&](const Endpoint& endpoint) {
    auto network = networks_.find(endpoint.network_id);
    return network != networks_.end() && !network->second.internal;
  });
}

std::vector<Networks::Remote> Networks::RemotesOf(std::string_view container_id) const {
  std::lock_guard lock(mutex_);
  std::vector<Remote> remotes;
  auto asking = lives_.find(container_id);
  if (asking == lives_.end())
    return remotes;
  for (const Endpoint& endpoint : asking->second.attachment.endpoints) {
    auto network = networks_.find(endpoint.network_id);
    if (network != networks_.end() && network->second.tunnel)
      remotes.push_back({*network->second.tunnel, network->second.subnet});
  }
  return remotes;
}

std::optional<Networks::PeerAnswer> Networks::AnswerPeer(net::Ipv4 peer, uint32_t vni,
                                                         std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto network = std::ranges::find_if(networks_, [&](const auto& item) {
    const auto& tunnel = item.second.tunnel;
    return tunnel && tunnel->vni == vni &&
           std::ranges::find(tunnel->peers, peer) != tunnel->peers.end();
  });
  if (network == networks_.end())
    return std::nullopt;
  PeerAnswer answer{{}, network->second.tunnel->local};
  for (const auto& [id, live] : lives_) {
    for (const Endpoint& endpoint : live.attachment.endpoints) {
      if (endpoint.network_id == network->first && IsCalled(endpoint, live.attachment.aside, name))
        answer.addresses.push_back(endpoint.address);
    }
  }
  return answer;
}

std::set<uint16_t> Networks::NamesPorts() const {
  std::lock_guard lock(mutex_);
  std::set<uint16_t> ports;
  for (const auto& [id, live] : lives_) {
    for (const Endpoint& endpoint : live.attachment.endpoints) {
      auto network = networks_.find(endpoint.network_id);
      if (network != networks_.end() && network->second.tunnel)
        ports.insert(network->second.tunnel->NamesPort());
    }
  }
  return ports;
}

}  // namespace wherry::engine
