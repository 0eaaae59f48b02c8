// Containers in networks: see networks.h.
#include <sys/socket.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/sys/netns.h"
#include "engine/network/networks.h"
#include "engine/network/ports.h"
#include "engine/network/resolver_sockets.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxState = 1 << 20;
constexpr size_t kShortId = 12;

std::string StatePath(const std::string& run_directory) {
  return Cat(run_directory, "/network.json");
}

// An address always has the same one: neighbours remember it.
net::Mac MacOf(net::Ipv4 address) {
  auto byte = [&](int shift) { return static_cast<uint8_t>(address.value >> shift); };
  return {0x02, 0x42, byte(24), byte(16), byte(8), byte(0)};
}

std::string NextInterface(const Attachment& attachment) {
  for (int i = 0;; ++i) {
    std::string name = Cat("eth", i);
    if (std::ranges::find(attachment.endpoints, name, &Endpoint::interface) ==
        attachment.endpoints.end())
      return name;
  }
}

}  // namespace

Result<net::AddressPool*> Networks::Pool(const Network& network) {
  auto found = pools_.find(network.id);
  if (found == pools_.end()) {
    auto pool = TRY(net::AddressPool::Create(network.subnet, network.gateway, network.range));
    found = pools_.emplace(network.id, std::move(pool)).first;
  }
  return &found->second;
}

Result<> Networks::BringUp(const Network& network) {
  bool first = up_.insert(network.id).second;
  // Nothing of a tunnel comes in before it is filtered.
  if (first && network.tunnel)
    TRY(ApplyFilter());
  return bridges_.Ensure(network);
}

// What was done is in `live`, also after an error.
Result<Endpoint> Networks::Attach(const Plan& plan, const EndpointRequest& request, int netns,
                                  Live& live) {
  Network network = TRY(Find(request.network));
  if (!network.HasBridge())
    return Fail(Errc::kInvalid, Cat("container cannot be connected to network ", network.name));
  for (const Endpoint& other : live.attachment.endpoints) {
    if (other.network_id == network.id)
      return Fail(Errc::kConflict, Cat("endpoint with name ", plan.container_name,
                                       " already exists in network ", network.name));
  }
  if (network.gateway == net::Ipv4{}) {  // could not be chosen when the daemon started
    TRY(ChooseAddresses(network));
    std::lock_guard lock(mutex_);
    networks_[network.id] = network;
  }
  TRY(BringUp(network));
  Endpoint endpoint;
  endpoint.id = RandomId();
  endpoint.network_id = network.id;
  endpoint.prefix = network.subnet.prefix;
  endpoint.gateway = network.gateway;
  endpoint.interface = NextInterface(live.attachment);
  if (!network.predefined) {
    endpoint.names = {plan.container_name, plan.container_id.substr(0, kShortId)};
    for (const std::string& alias : request.aliases) {
      if (std::ranges::find(endpoint.names, alias) == endpoint.names.end())
        endpoint.names.push_back(alias);
    }
  }
  net::AddressPool* pool = TRY(Pool(network));
  if (request.address != net::Ipv4{})
    TRY(pool->Reserve(request.address));
  endpoint.address =
      request.address != net::Ipv4{} ? request.address : TRY_CTX("address", pool->Allocate());
  endpoint.mac = request.mac.value_or(MacOf(endpoint.address));
  bool leads_out = std::ranges::any_of(live.attachment.endpoints, [&](const Endpoint& other) {
    auto theirs = Find(other.network_id);
    return theirs && !theirs->internal;
  });
  auto plugged = bridges_.Plug(network, netns, !network.internal && !leads_out, endpoint);
  // The way out comes first.
  auto place = !network.internal && !leads_out ? live.attachment.endpoints.begin()
                                               : live.attachment.endpoints.end();
  live.attachment.endpoints.insert(place, endpoint);
  TRY(std::move(plugged));
  return endpoint;
}

void Networks::Detach(const Endpoint& endpoint) {
  auto unplugged = bridges_.Unplug(endpoint.host_interface);
  if (!unplugged)
    LogWarning("device ", endpoint.host_interface, " is left: ", unplugged.error().message());
  if (auto pool = pools_.find(endpoint.network_id); pool != pools_.end())
    pool->second.Release(endpoint.address);
}

// The container of ours that has a port of the host; empty when none has.
std::string Networks::PortHolder(const PortRequest& wanted) const {
  std::lock_guard lock(mutex_);
  for (const auto& [id, live] : lives_) {
    bool has = std::ranges::any_of(live.attachment.ports, [&](const BoundPort& port) {
      return port.protocol == wanted.protocol && port.host_port == wanted.first_port;
    });
    if (has)
      return live.name;
  }
  return {};
}

// Where ports go that name no address.
net::Ipv4 Networks::PublishAddress(const Attachment& attachment) const {
  if (attachment.endpoints.empty())
    return {};
  auto network = Find(attachment.endpoints.front().network_id);
  return network ? network->publish_address : net::Ipv4{};
}

Result<HeldPort> Networks::Hold(const PortRequest& request, net::Ipv4 address) const {
  auto held = HoldPort(request, address);
  std::string holder = held ? "" : PortHolder(request);
  if (!holder.empty()) {
    return Fail(Errc::kConflict, Cat("Bind for ", address.Text(), ":", request.first_port,
                                     " failed: port is already allocated by container ", holder));
  }
  return held;
}

Result<> Networks::HoldPorts(const Plan& plan, Live& live) {
  if (plan.ports.empty() || live.attachment.endpoints.empty() || live.attachment.aside)
    return {};
  net::Ipv4 address = PublishAddress(live.attachment);
  for (const PortRequest& request : plan.ports) {
    HeldPort port = TRY(Hold(request, address));
    live.attachment.ports.push_back(port.port);
    live.holds.push_back(std::move(port.hold));
  }
  return {};
}

Result<> Networks::Fill(const Plan& plan, int netns, Live& live) {
  for (const EndpointRequest& request : plan.endpoints)
    TRY_CTX(Cat("network ", request.network), Attach(plan, request, netns, live));
  return HoldPorts(plan, live);
}

void Networks::Put(const std::string& container_id, Live live) {
  std::lock_guard lock(mutex_);
  lives_[container_id] = std::move(live);
}

Result<> Networks::Save(const std::string& container_id) const {
  std::string path;
  std::string text;
  {
    std::lock_guard lock(mutex_);
    auto found = lives_.find(container_id);
    if (found == lives_.end())
      return {};
    path = StatePath(found->second.run_directory);
    text = AttachmentJson(found->second.attachment);
  }
  return ReplaceFile(path, text, 0600, Durability::kVolatile);
}

Result<Networks::Sandbox> Networks::MakeSandbox(const Plan& plan) {
  std::lock_guard plumbing(plumbing_);
  Sandbox box;
  box.netns = TRY(sys::NewNetns());
  Live live{plan.container_name, plan.run_directory, {}, {}};
  {
    std::lock_guard lock(mutex_);
    live.attachment.aside = aside_.contains(plan.container_id);
  }
  auto filled = Fill(plan, box.netns.get(), live);
  box.attachment = live.attachment;
  Put(plan.container_id, std::move(live));
  TRY(std::move(filled));
  TRY(ApplyFilter());
  TRY(Save(plan.container_id));
  TRY(OpenResolverSockets(box.netns.get(), box.udp, box.tcp));
  for (const Endpoint& endpoint : box.attachment.endpoints)
    bridges_.AwaitRunning(endpoint.host_interface);
  return box;
}

Result<Networks::Sandbox> Networks::Open(const Plan& plan) {
  auto box = MakeSandbox(plan);
  if (!box)
    Close(plan.container_id);
  return box;
}

Result<Networks::Sandbox> Networks::Reopen(const Plan& plan, UniqueFd netns) {
  std::string text = TRY(ReadFile(StatePath(plan.run_directory), kMaxState));
  std::lock_guard plumbing(plumbing_);
  Sandbox box;
  box.attachment = TRY(ParseAttachment(text));
  box.netns = std::move(netns);
  Live live{plan.container_name, plan.run_directory, box.attachment, {}};
  for (const Endpoint& endpoint : box.attachment.endpoints) {
    Network network = TRY(Find(endpoint.network_id));
    TRY(BringUp(network));
    net::AddressPool* pool = TRY(Pool(network));
    TRY(pool->Reserve(endpoint.address));
  }
  for (const BoundPort& port : box.attachment.ports) {
    auto held = HoldPort(
        {port.protocol, port.container_port, port.host_address, port.host_port, port.host_port},
        port.host_address);
    if (!held)
      LogWarning("container ", plan.container_name, ": ", held.error().message(),
                 "; the container keeps the port");
    live.holds.push_back(held ? std::move(held->hold) : UniqueFd());
  }
  if (box.attachment.aside)
    StartAside(plan.container_id, true);
  Put(plan.container_id, std::move(live));
  TRY(OpenResolverSockets(box.netns.get(), box.udp, box.tcp));
  return box;
}

void Networks::Close(const std::string& container_id) {
  std::lock_guard plumbing(plumbing_);
  Live live;
  {
    std::lock_guard lock(mutex_);
    auto found = lives_.find(container_id);
    if (found == lives_.end())
      return;
    live = std::move(found->second);
    lives_.erase(found);
  }
  for (const Endpoint& endpoint : live.attachment.endpoints)
    Detach(endpoint);
  if (!live.attachment.ports.empty()) {
    auto applied = ApplyFilter();
    if (!applied)
      LogWarning("ports of container ", live.name, ": ", applied.error().message());
  }
  (void)RemoveTree(StatePath(live.run_directory));
}

Result<Endpoint> Networks::Connect(const Plan& plan, const EndpointRequest& request,
                                   UniqueFd netns) {
  std::lock_guard plumbing(plumbing_);
  Live live{
      plan.container_name, plan.run_directory, Of(plan.container_id).value_or(Attachment()), {}};
  auto attached = Attach(plan, request, netns.get(), live);
  if (!attached) {
    for (const Endpoint& endpoint : live.attachment.endpoints) {
      auto before = Of(plan.container_id);
      bool old = before && std::ranges::find(before->endpoints, endpoint.id, &Endpoint::id) !=
                               before->endpoints.end();
      if (!old)
        Detach(endpoint);
    }
    return attached;
  }
  {
    std::lock_guard lock(mutex_);
    Live& mine = lives_[plan.container_id];
    mine.name = plan.container_name;
    mine.run_directory = plan.run_directory;
    mine.attachment.endpoints = live.attachment.endpoints;
  }
  TRY(ApplyFilter());
  TRY(Save(plan.container_id));
  bridges_.AwaitRunning(attached->host_interface);
  return attached;
}

Result<> Networks::Disconnect(const Plan& plan, const std::string& network_id, UniqueFd netns) {
  std::lock_guard plumbing(plumbing_);
  Endpoint endpoint;
  std::optional<Endpoint> next;
  {
    std::lock_guard lock(mutex_);
    auto found = lives_.find(plan.container_id);
    if (found == lives_.end())
      return {};
    auto& endpoints = found->second.attachment.endpoints;
    auto mine = std::ranges::find(endpoints, network_id, &Endpoint::network_id);
    if (mine == endpoints.end())
      return {};
    bool was_first = mine == endpoints.begin();
    endpoint = *mine;
    endpoints.erase(mine);
    if (was_first && !endpoints.empty())
      next = endpoints.front();
  }
  Detach(endpoint);
  // The way out went with the device.
  auto network = Find(next ? next->network_id : network_id);
  if (next && network && !network->internal) {
    net::Links inside = TRY(net::Links::Open(netns.get()));
    int index = TRY(inside.Find(next->interface)).index;
    TRY(inside.AddDefaultRoute(index, next->gateway));
  }
  TRY(ApplyFilter());
  return Save(plan.container_id);
}

Result<> Networks::ApplyFilter() {
  net::FirewallRules rules;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, network] : networks_) {
      if (up_.contains(id))
        rules.networks.push_back(
            {network.bridge, network.subnet, network.internal, network.masquerade});
      // Also without a container in it: those of other networks could send what it should not get.
      if (network.tunnel)
        rules.tunnels.push_back(*network.tunnel);
    }
    for (const auto& [id, live] : lives_) {
      for (const BoundPort& port : live.attachment.ports) {
        if (!live.attachment.endpoints.empty())
          rules.ports.push_back({port.protocol, port.host_address, port.host_port,
                                 live.attachment.endpoints.front().address, port.container_port});
      }
    }
  }
  return rules.networks.empty() ? bridges_.RemoveFilter() : bridges_.Filter(std::move(rules));
}

Result<> Networks::Reconcile() {
  std::lock_guard plumbing(plumbing_);
  return ApplyFilter();
}

void Networks::TearDown() {
  std::lock_guard plumbing(plumbing_);
  auto removed = bridges_.RemoveFilter();
  if (!removed)
    LogWarning("firewall rules are left: ", removed.error().message());
  for (const std::string& id : up_) {
    auto network = Find(id);
    if (network)
      removed = bridges_.Remove(*network);
    if (!removed)
      LogWarning("network ", id, " is left: ", removed.error().message());
  }
  up_.clear();
}

}  // namespace wherry::engine
