#include "engine/network/network_options.h"

#include <algorithm>

#include "core/base/digest.h"
#include "core/base/text.h"
#include "net/link/link.h"

namespace wherry::engine {

namespace {

constexpr uint32_t kMinMtu = 68;  // of IPv4
constexpr uint32_t kMaxMtu = 65535;
constexpr uint32_t kEthernetMtu = 1500;
constexpr std::string_view kVniOption = "com.docker.network.driver.overlay.vxlanid_list";

Result<> ReadFlag(bool& out, std::string_view value) {
  bool yes = value == "true" || value == "1";
  if (!yes && value != "false" && value != "0")
    return Fail(Errc::kInvalid, "must be true or false");
  out = yes;
  return {};
}

Result<uint32_t> ReadNumber(std::string_view value, uint32_t least, uint32_t most) {
  uint64_t number = TRY(ParseUint(value));
  if (number < least || number > most)
    return Fail(Errc::kInvalid, Cat("must be between ", least, " and ", most));
  return static_cast<uint32_t>(number);
}

// An address that one device can have.
Result<net::Ipv4> ReadDevice(std::string_view value) {
  constexpr uint32_t kFirstMulticast = 0xe0000000;
  net::Ipv4 address = TRY(net::ParseIpv4(value));
  if (address == net::Ipv4{} || address.IsLoopback() || address.value >= kFirstMulticast)
    return Fail(Errc::kInvalid, Cat(value, " is not the address of a device"));
  return address;
}

Result<> ReadBridge(Network& network, std::string_view value) {
  if (!net::IsLinkName(value))
    return Fail(Errc::kInvalid, Cat("\"", value, "\" cannot be the name of a bridge"));
  network.bridge = value;
  return {};
}

Result<> ReadMasquerade(Network& network, std::string_view value) {
  return ReadFlag(network.masquerade, value);
}

Result<> ReadPublishAddress(Network& network, std::string_view value) {
  network.publish_address = TRY(net::ParseIpv4(value));
  return {};
}

Result<> ReadMtu(Network& network, std::string_view value) {
  network.mtu = TRY(ReadNumber(value, kMinMtu, kMaxMtu));
  return {};
}

Result<> ReadPeers(Network& network, std::string_view value) {
  std::vector<net::Ipv4>& peers = network.tunnel->peers;
  for (std::string_view part : Split(value, ',')) {
    net::Ipv4 peer = TRY(ReadDevice(Trim(part)));
    if (std::ranges::find(peers, peer) == peers.end())
      peers.push_back(peer);
  }
  if (peers.size() > net::kMaxPeers)
    return Fail(Errc::kUnsupported, Cat("more than ", net::kMaxPeers, " peers are not supported"));
  return {};
}

Result<> ReadLocal(Network& network, std::string_view value) {
  network.tunnel->local = TRY(ReadDevice(value));
  return {};
}

Result<> ReadPort(Network& network, std::string_view value) {
  // The next one is for names.
  network.tunnel->port = static_cast<uint16_t>(TRY(ReadNumber(value, 1, UINT16_MAX - 1)));
  return {};
}

Result<> ReadVni(Network& network, std::string_view value) {
  network.tunnel->vni = TRY(ReadNumber(value, 1, net::kMaxVni));
  return {};
}

Result<> RefuseEncryption(Network&, std::string_view) {
  return Fail(
      Errc::kUnsupported,
      "is not supported; give the peers the addresses they have in a VPN, such as WireGuard");
}

enum class Of : uint8_t { kAll, kOverlay };

struct OptionRow {
  std::string_view name;
  Of drivers;
  Result<> (*read)(Network& network, std::string_view value);
};

// clang-format off
constexpr OptionRow kRows[] = {
    {"com.docker.network.bridge.name",                 Of::kAll,     ReadBridge},
    {"com.docker.network.bridge.enable_ip_masquerade", Of::kAll,     ReadMasquerade},
    {"com.docker.network.bridge.host_binding_ipv4",    Of::kAll,     ReadPublishAddress},
    {"com.docker.network.driver.mtu",                  Of::kAll,     ReadMtu},
    {kVniOption,                                       Of::kOverlay, ReadVni},
    {"encrypted",                                      Of::kOverlay, RefuseEncryption},
    {"local",                                          Of::kOverlay, ReadLocal},
    {"peers",                                          Of::kOverlay, ReadPeers},
    {"port",                                           Of::kOverlay, ReadPort},
    {"vni",                                            Of::kOverlay, ReadVni},
};

// Those that would change something, and do not: refused unless they ask for what happens anyway.
struct FixedOption {
  std::string_view name;
  std::string_view value;
};
constexpr FixedOption kFixed[] = {
    {"com.docker.network.bridge.enable_icc",        "true"},
    {"com.docker.network.bridge.gateway_mode_ipv4", "nat"},
    {"com.docker.network.bridge.inhibit_ipv4",      "false"},
};
// clang-format on

Result<> ReadOption(Network& network, std::string_view name, std::string_view value) {
  const auto* fixed = std::ranges::find(kFixed, name, &FixedOption::name);
  if (fixed != std::end(kFixed)) {
    if (value != fixed->value)
      return Fail(Errc::kUnsupported, "is not supported in this version");
    return {};
  }
  const auto* row = std::ranges::find(kRows, name, &OptionRow::name);
  bool known = row != std::end(kRows) && (row->drivers == Of::kAll || network.tunnel);
  if (known)
    return row->read(network, value);
  if (network.tunnel)
    return Fail(Errc::kInvalid, "is not one that driver overlay knows (docs/networks.md)");
  return {};
}

}  // namespace

Result<> ReadOptions(Network& network) {
  for (const auto& [name, value] : network.options)
    TRY_CTX(Cat("network option ", name, "=", value), ReadOption(network, name, value));
  return {};
}

Result<> CompleteTunnel(Network& network) {
  if (!network.tunnel)
    return {};
  net::Tunnel& tunnel = *network.tunnel;
  auto wrong = [](const auto&... parts) {
    return Fail(Errc::kInvalid, Cat("a network of driver overlay ", parts...));
  };
  if (tunnel.peers.empty())
    return wrong("needs --opt peers=ADDRESS,...: the addresses of the other devices");
  if (network.subnet.prefix == 0 || !network.range)
    return wrong(
        "needs --subnet, the same on all devices, and --ip-range, a part of it that only "
        "this device gives out; else two devices would give out one address");
  if (network.range->prefix <= network.subnet.prefix)
    return wrong("needs an --ip-range smaller than its subnet ", network.subnet.Text(),
                 ": the rest is for the other devices");
  for (net::Ipv4 peer : tunnel.peers) {
    if (peer == tunnel.local || network.subnet.Contains(peer))
      return wrong("cannot have the peer ", peer.Text(), ": it is ",
                   peer == tunnel.local ? "this device" : "an address of the network itself");
  }
  // Each device has a gateway of its own, the way out through itself.
  if (network.gateway == net::Ipv4{})
    network.gateway = {network.range->base.value + (network.range->prefix < 32 ? 1 : 0)};
  if (!network.range->Contains(network.gateway))
    return wrong("needs a gateway in its --ip-range ", network.range->Text(), ", not ",
                 network.gateway.Text(), ": it is this device's own");
  if (network.mtu == 0)
    network.mtu = kEthernetMtu - net::kVxlanHeaders;
  if (tunnel.vni == 0) {
    Digest common = Digest::Of(Cat(network.name, ' ', network.subnet.Text()));
    for (uint8_t byte : std::span(common.bytes()).first(3))
      tunnel.vni = tunnel.vni << 8 | byte;
    tunnel.vni = std::max(tunnel.vni, uint32_t{1});
    network.options[std::string(kVniOption)] = Cat(tunnel.vni);
  }
  return {};
}

}  // namespace wherry::engine
