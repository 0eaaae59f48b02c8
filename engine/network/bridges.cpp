#include "engine/network/bridges.h"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "net/link/sysctl.h"

namespace wherry::engine {

namespace {

constexpr int kLoopbackIndex = 1;  // in every network namespace
constexpr int kNameAttempts = 8;
constexpr int kAwaitTries = 200;
constexpr useconds_t kAwaitStep = 1000;
constexpr char kBridgeFilter[] = "net/bridge/bridge-nf-call-iptables";
constexpr char kForwarding[] = "net/ipv4/ip_forward";
constexpr size_t kIdInDeviceName = 12;

std::string TunnelDevice(const Network& network) {
  return Cat("vx-", std::string_view(network.id).substr(0, kIdInDeviceName));
}

// Absent is success.
Result<> DeleteDevice(net::Links& links, const std::string& name) {
  auto link = links.Find(name);
  if (link)
    return links.Delete(link->index);
  return link.error().code() == Errc::kNotFound ? Result<>()
                                                : std::unexpected(std::move(link).error());
}

}  // namespace

Result<net::Links*> Bridges::Host() {
  if (!links_)
    links_ = TRY(net::Links::Open());
  return &*links_;
}

Result<net::Firewall*> Bridges::Rules() {
  if (!firewall_)
    firewall_ = TRY(net::Firewall::Open(instance_));
  return &*firewall_;
}

Result<std::vector<net::Subnet>> Bridges::UsedSubnets() {
  net::Links* host = TRY(Host());
  return host->UsedSubnets();
}

Result<bool> Bridges::IsOwn(net::Ipv4 address) {
  net::Links* host = TRY(Host());
  std::vector<net::LinkAddress> own = TRY(host->Addresses());
  return std::ranges::find(own, address, &net::LinkAddress::address) != own.end();
}

std::optional<net::LinkAddress> Bridges::AddressOf(const std::string& bridge) {
  auto host = Host();
  if (!host)
    return std::nullopt;
  auto link = (*host)->Find(bridge);
  auto addresses = (*host)->Addresses();
  if (!link || !addresses)
    return std::nullopt;
  for (const net::LinkAddress& address : *addresses) {
    if (address.link == link->index)
      return address;
  }
  return std::nullopt;
}

Result<> Bridges::Forward() {
  bool was_off = TRY(net::EnableForwarding());
  if (was_off)
    TRY(ReplaceFile(marker_, "", 0600, Durability::kVolatile));
  return {};
}

Result<> Bridges::Ensure(const Network& network) {
  net::Links* host = TRY(Host());
  auto there = host->Find(network.bridge);
  if (there && there->kind != "bridge")
    return Fail(Errc::kConflict, Cat("the device ", network.bridge, " exists and is no bridge"));
  if (!there && there.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(there).error());
  int index =
      there ? there->index : TRY(host->AddBridge({network.bridge, std::nullopt, network.mtu}));
  auto added = host->AddAddress(index, network.gateway, network.subnet.prefix);
  if (!added && added.error().code() != Errc::kExists)
    return added;
  if (network.tunnel)
    TRY(EnsureTunnel(network, index));
  if (there && there->up)
    return {};
  TRY(host->SetUp(index));
  TRY(net::PrepareBridge(network.bridge));
  return Forward();
}

// One that is up is complete.
Result<> Bridges::EnsureTunnel(const Network& network, int bridge) {
  net::Links* host = TRY(Host());
  const net::Tunnel& tunnel = *network.tunnel;
  std::string name = TunnelDevice(network);
  auto there = host->Find(name);
  if (there && there->up && there->master == bridge)
    return {};
  TRY(DeleteDevice(*host, name));
  auto made =
      host->AddVxlan({.name = name, .bridge = bridge, .mtu = network.mtu, .tunnel = tunnel});
  if (!made && made.error().code() == Errc::kExists) {
    return Fail(
        Errc::kConflict,
        Cat("another program of this device has a VXLAN of number ", tunnel.vni, " at port ",
            tunnel.port, ": give the network another number on all devices (--opt vni)"));
  }
  int index = TRY(std::move(made));
  Result<> up = net::DisableIpv6(name);
  if (up)
    up = host->SetUp(index);
  if (!up)
    (void)host->Delete(index);
  if (!up && up.error().error_number() == EADDRINUSE) {
    return Fail(Errc::kConflict, Cat("UDP port ", tunnel.port,
                                     " is taken by another program: give "
                                     "the network another one on all devices (--opt port)"));
  }
  return up;
}

Result<> Bridges::Remove(const Network& network) {
  net::Links* host = TRY(Host());
  if (network.tunnel)
    TRY(DeleteDevice(*host, TunnelDevice(network)));
  return DeleteDevice(*host, network.bridge);
}

Result<> Bridges::Plug(const Network& network, int netns, bool way_out, Endpoint& endpoint) {
  net::Links* host = TRY(Host());
  net::LinkInfo bridge = TRY(host->Find(network.bridge));
  Result<int> made = Fail(Errc::kExists, "no free name for a network device");
  for (int i = 0; i < kNameAttempts && !made && made.error().code() == Errc::kExists; ++i) {
    endpoint.host_interface = Cat("veth", RandomId().substr(0, 7));
    made = host->AddVeth({.name = endpoint.host_interface,
                          .bridge = bridge.index,
                          .peer_name = endpoint.interface,
                          .peer_netns = netns,
                          .peer_mac = endpoint.mac,
                          .mtu = network.mtu});
  }
  int outside = TRY(std::move(made));
  auto filtered = net::ReadSysctl(sys::kOwnNetns, kBridgeFilter);
  if (filtered && *filtered == "1")
    TRY(host->SetHairpin(outside));
  net::Links inside = TRY(net::Links::Open(netns));
  TRY(inside.SetUp(kLoopbackIndex));
  int index = TRY(inside.Find(endpoint.interface)).index;
  TRY(inside.SetUp(index));
  TRY(inside.AddAddress(index, endpoint.address, endpoint.prefix));
  if (way_out)
    TRY(inside.AddDefaultRoute(index, endpoint.gateway));
  return {};
}

Result<> Bridges::Unplug(const std::string& host_interface) {
  net::Links* host = TRY(Host());
  return DeleteDevice(*host, host_interface);
}

void Bridges::AwaitRunning(const std::string& host_interface) {
  auto host = Host();
  for (int i = 0; host && i < kAwaitTries; ++i) {
    auto link = (*host)->Find(host_interface);
    if (!link || link->running)
      return;
    usleep(kAwaitStep);
  }
}

Result<> Bridges::Filter(net::FirewallRules rules) {
  net::Firewall* firewall = TRY(Rules());
  rules.guard_forwarding = PathExists(marker_);
  return firewall->Apply(rules);
}

Result<> Bridges::RemoveFilter() {
  if (!firewall_ && !PathExists(marker_))
    return {};
  net::Firewall* rules = TRY(Rules());
  TRY(rules->Remove());
  if (!PathExists(marker_))
    return {};
  TRY(net::WriteSysctl(sys::kOwnNetns, kForwarding, "0"));
  if (unlink(marker_.c_str()) != 0)
    return FailSys("unlink", marker_);
  return {};
}

}  // namespace wherry::engine
