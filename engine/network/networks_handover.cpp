// Ports and aliases that go from running containers to others: see networks.h.
#include <algorithm>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/network/networks.h"

namespace wherry::engine {

namespace {

bool Fits(const PortRequest& request, net::Ipv4 address, const BoundPort& port) {
  if (request.host_address != net::Ipv4{})
    address = request.host_address;
  if (port.protocol != request.protocol || port.host_address != address)
    return false;
  if (request.first_port == 0)
    return port.container_port == request.container_port;
  return port.host_port >= request.first_port && port.host_port <= request.last_port;
}

// Of several that will do, the one that clients know already is wanted, not somebody else's.
bool IsExact(const PortRequest& request) {
  return request.first_port != 0 && request.first_port == request.last_port;
}

}  // namespace

// The ports of all that take part, and where their sockets go.
struct Networks::Handing {
  struct Port {
    BoundPort port;
    UniqueFd* hold;      // in lives_, or in fresh
    std::string holder;  // until now
    std::string owner;   // a successor; empty: nobody wants it
  };
  std::vector<Port> ports;
  std::vector<std::unique_ptr<UniqueFd>> fresh;
  std::map<std::string, Attachment> attachments;  // as they will be; as they were after an exchange
};

// REQUIRES: plumbing_, which all that change lives_ hold.
void Networks::Offer(Handing& handing, const std::string& container_id) {
  auto found = lives_.find(container_id);
  if (found == lives_.end())
    return;
  Live& live = found->second;
  for (size_t i = 0; i < live.attachment.ports.size() && i < live.holds.size(); ++i)
    handing.ports.push_back({live.attachment.ports[i], &live.holds[i], container_id, {}});
  Attachment& next = handing.attachments[container_id];
  next = live.attachment;
  next.ports.clear();
  next.aside = true;
}

// REQUIRES: as Offer.
Result<> Networks::Claim(Handing& handing, const Successor& successor) {
  auto found = handing.attachments.find(successor.container_id);
  if (found == handing.attachments.end() || found->second.endpoints.empty())
    return Fail(Errc::kConflict, Cat("container ", successor.container_id.substr(0, 12),
                                     " is not running in a network: it can take nothing over"));
  Attachment& next = found->second;
  next.aside = false;
  net::Ipv4 address = PublishAddress(next);
  for (const PortRequest& request : successor.ports) {
    auto offer = std::ranges::find_if(handing.ports, [&](const Handing::Port& port) {
      bool mine = port.holder == successor.predecessor || port.holder == successor.container_id;
      return port.owner.empty() && (mine || IsExact(request)) && Fits(request, address, port.port);
    });
    if (offer == handing.ports.end()) {
      HeldPort held = TRY(Hold(request, address));
      handing.fresh.push_back(std::make_unique<UniqueFd>(std::move(held.hold)));
      offer = handing.ports.insert(offer, {held.port, handing.fresh.back().get(), {}, {}});
    }
    offer->owner = successor.container_id;
    offer->port.container_port = request.container_port;
    next.ports.push_back(offer->port);
  }
  return {};
}

void Networks::Exchange(Handing& handing) {
  std::lock_guard lock(mutex_);
  for (auto& [id, attachment] : handing.attachments)
    std::swap(lives_.find(id)->second.attachment, attachment);
}

Result<> Networks::HandOver(std::span<const Successor> successors) {
  std::lock_guard plumbing(plumbing_);
  Handing handing;
  for (const Successor& successor : successors) {
    Offer(handing, successor.predecessor);
    Offer(handing, successor.container_id);
  }
  // After a kill between two records both have the port; one has the socket.
  std::ranges::stable_partition(handing.ports,
                                [](const Handing::Port& port) { return bool{*port.hold}; });
  for (const Successor& successor : successors)
    TRY(Claim(handing, successor));
  Exchange(handing);
  if (auto applied = ApplyFilter(); !applied) {
    Exchange(handing);
    return applied;
  }
  std::map<std::string, std::vector<UniqueFd>> holds;
  // In the order in which they were claimed, which is that of the attachment.
  for (const Successor& successor : successors) {
    for (const BoundPort& port : lives_.find(successor.container_id)->second.attachment.ports) {
      auto mine = std::ranges::find_if(handing.ports, [&](const Handing::Port& other) {
        return other.owner == successor.container_id && other.port == port;
      });
      holds[successor.container_id].push_back(std::move(*mine->hold));
    }
  }
  {
    std::lock_guard lock(mutex_);
    for (const Successor& successor : successors) {
      if (!successor.predecessor.empty())
        aside_.insert(successor.predecessor);
      aside_.erase(successor.container_id);
    }
    for (const auto& [id, attachment] : handing.attachments)
      lives_.find(id)->second.holds = std::move(holds[id]);
  }
  // Those that have got something first: a daemon that is killed in between finds a port twice
  // rather than nowhere.
  for (bool aside : {false, true}) {
    for (const auto& [id, attachment] : handing.attachments) {
      if (lives_.find(id)->second.attachment.aside != aside)
        continue;
      if (auto saved = Save(id); !saved)
        LogWarning("ports handed over are forgotten when the daemon ends: ",
                   saved.error().message());
    }
  }
  return {};
}

void Networks::StartAside(const std::string& container_id, bool aside) {
  std::lock_guard lock(mutex_);
  if (aside)
    aside_.insert(container_id);
  else
    aside_.erase(container_id);
}

}  // namespace wherry::engine
