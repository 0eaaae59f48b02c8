#include "net/link/link.h"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/base/text.h"
#include "net/link/link_reply.h"

namespace wherry::net {

namespace {

using sys::BytesOf;
using sys::NetlinkMessage;
using sys::NetlinkWriter;

constexpr uint16_t kCreate = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
constexpr int kDumpAttempts = 5;

ifinfomsg LinkHeader(int index) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  return header;
}

ifinfomsg UpHeader(int index) {
  ifinfomsg header = LinkHeader(index);
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  return header;
}

// A request that changes a device, without attributes yet.
NetlinkWriter Change(const ifinfomsg& header) {
  NetlinkWriter request;
  request.Start(RTM_NEWLINK, NLM_F_ACK, BytesOf(header));
  return request;
}

void AddMtu(NetlinkWriter& request, uint32_t mtu) {
  if (mtu != 0)
    request.Value(IFLA_MTU, mtu);
}

Result<> CheckName(const std::string& name) {
  if (IsLinkName(name))
    return {};
  return Fail(Errc::kInvalid,
              Cat("'", name,
                  "' is not a device name: 1 to 15 letters, digits, '.', '_' and '-' are allowed"));
}

// A dump that a change interrupted is asked for again: `each` gets nullptr first and forgets.
Result<> Dump(sys::NetlinkSocket& socket, uint16_t type, std::span<const uint8_t> header,
              std::string_view what, std::move_only_function<void(const NetlinkMessage*)> each) {
  for (int attempt = 1;; ++attempt) {
    each(nullptr);
    NetlinkWriter request;
    request.Start(type, NLM_F_ACK | NLM_F_DUMP, header);
    Result<> done =
        socket.Call(request, what, [&](const NetlinkMessage& message) { each(&message); });
    if (done || done.error().code() != Errc::kBusy || attempt == kDumpAttempts)
      return done;
  }
}

template <class T>
Result<std::vector<T>> ListAll(sys::NetlinkSocket& socket, uint16_t type,
                               std::span<const uint8_t> header, std::string_view what,
                               std::optional<T> (*parse)(const NetlinkMessage&)) {
  std::vector<T> found;
  TRY(Dump(socket, type, header, what, [&](const NetlinkMessage* message) {
    if (message == nullptr) {
      found.clear();
    } else if (auto item = parse(*message)) {
      found.push_back(*std::move(item));
    }
  }));
  return found;
}

}  // namespace

bool IsLinkName(std::string_view name) {
  constexpr char kAllowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return name.size() < IFNAMSIZ && name.find_first_not_of(kAllowed) == std::string_view::npos &&
         name.find_first_not_of('.') != std::string_view::npos;
}

// Of device, and of the module that has it.
struct Links::Kind {
  std::string_view name;
  std::string_view option;  // of the kernel's configuration
};

Result<Links> Links::Open(int netns) {
  sys::NetlinkSocket socket = TRY(sys::NetlinkSocket::Open(sys::NetlinkFamily::kRoute, netns));
  return Links(std::move(socket));
}

Result<int> Links::Create(NetlinkWriter& request, const std::string& name, const Kind& kind) {
  Result<> made = socket_.Call(request, Cat("create ", kind.name, ' ', name));
  if (!made && made.error().error_number() == EOPNOTSUPP)
    return Fail(Errc::kUnsupported, Cat("the kernel has no ", kind.name, " devices: build it with ",
                                        kind.option, " or load the module ", kind.name));
  if (!made)
    return std::unexpected(std::move(made).error());
  LinkInfo link = TRY(Find(name));
  return link.index;
}

Result<> Links::Set(NetlinkWriter& request, std::string_view what, int link) {
  Result<> set = socket_.Call(request, Cat(what, " of device ", link));
  if (!set && set.error().error_number() == ENODEV)
    return std::unexpected(std::move(set).error().WithCode(Errc::kNotFound));
  return set;
}

Result<int> Links::AddBridge(const BridgeOptions& options) {
  TRY(CheckName(options.name));
  NetlinkWriter request;
  request.Start(RTM_NEWLINK, kCreate, BytesOf(LinkHeader(0)));
  request.Text(IFLA_IFNAME, options.name);
  request.Value(IFLA_ADDRESS, options.mac ? *options.mac : RandomMac());
  AddMtu(request, options.mtu);
  {
    auto info = request.Open(IFLA_LINKINFO);
    request.Text(IFLA_INFO_KIND, "bridge");
    auto data = request.Open(IFLA_INFO_DATA);
    request.Value(IFLA_BR_STP_STATE, uint32_t{0});
  }
  return Create(request, options.name, {"bridge", "CONFIG_BRIDGE"});
}

Result<int> Links::AddVeth(const VethOptions& options) {
  TRY(CheckName(options.name));
  TRY(CheckName(options.peer_name));
  NetlinkWriter request;
  request.Start(RTM_NEWLINK, kCreate, BytesOf(UpHeader(0)));
  request.Text(IFLA_IFNAME, options.name);
  AddMtu(request, options.mtu);
  if (options.bridge != 0)
    request.Value(IFLA_MASTER, options.bridge);
  {
    auto info = request.Open(IFLA_LINKINFO);
    request.Text(IFLA_INFO_KIND, "veth");
    auto data = request.Open(IFLA_INFO_DATA);
    auto peer = request.Open(VETH_INFO_PEER);
    request.Raw(BytesOf(LinkHeader(0)));
    request.Text(IFLA_IFNAME, options.peer_name);
    AddMtu(request, options.mtu);
    if (options.peer_netns >= 0)
      request.Value(IFLA_NET_NS_FD, options.peer_netns);
    if (options.peer_mac)
      request.Value(IFLA_ADDRESS, *options.peer_mac);
  }
  return Create(request, options.name, {"veth", "CONFIG_VETH"});
}

// What is not known to be behind a certain peer goes to all of them.
Result<> Links::AddPeer(int link, Ipv4 peer) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = link;
  header.ndm_state = NUD_NOARP | NUD_PERMANENT;
  header.ndm_flags = NTF_SELF;
  NetlinkWriter request;
  request.Start(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND, BytesOf(header));
  request.Value(NDA_LLADDR, Mac{});
  request.Be32(NDA_DST, peer.value);
  return Set(request, Cat("peer ", peer.Text()), link);
}

Result<int> Links::AddVxlan(const VxlanOptions& options) {
  TRY(CheckName(options.name));
  NetlinkWriter request;
  request.Start(RTM_NEWLINK, kCreate, BytesOf(LinkHeader(0)));
  request.Text(IFLA_IFNAME, options.name);
  AddMtu(request, options.mtu);
  if (options.bridge != 0)
    request.Value(IFLA_MASTER, options.bridge);
  {
    auto info = request.Open(IFLA_LINKINFO);
    request.Text(IFLA_INFO_KIND, "vxlan");
    auto data = request.Open(IFLA_INFO_DATA);
    request.Value(IFLA_VXLAN_ID, options.tunnel.vni);
    request.Be16(IFLA_VXLAN_PORT, options.tunnel.port);
    request.Value(IFLA_VXLAN_LEARNING, uint8_t{1});
    if (options.tunnel.local != Ipv4{})
      request.Be32(IFLA_VXLAN_LOCAL, options.tunnel.local.value);
  }
  int link = TRY(Create(request, options.name, {"vxlan", "CONFIG_VXLAN"}));
  for (Ipv4 peer : options.tunnel.peers) {
    Result<> added = AddPeer(link, peer);
    if (!added) {
      (void)Delete(link);
      return std::unexpected(std::move(added).error());
    }
  }
  return link;
}

Result<> Links::Delete(int link) {
  NetlinkWriter request;
  request.Start(RTM_DELLINK, NLM_F_ACK, BytesOf(LinkHeader(link)));
  Result<> deleted = Set(request, "deletion", link);
  if (!deleted && deleted.error().code() == Errc::kNotFound)
    return {};
  return deleted;
}

Result<> Links::SetUp(int link) {
  NetlinkWriter request = Change(UpHeader(link));
  return Set(request, "activation", link);
}

Result<> Links::SetMaster(int link, int bridge) {
  NetlinkWriter request = Change(LinkHeader(link));
  request.Value(IFLA_MASTER, bridge);
  return Set(request, "change of the bridge", link);
}

Result<> Links::SetMac(int link, const Mac& mac) {
  NetlinkWriter request = Change(LinkHeader(link));
  request.Value(IFLA_ADDRESS, mac);
  return Set(request, "change of the MAC address", link);
}

Result<> Links::SetMtu(int link, uint32_t mtu) {
  NetlinkWriter request = Change(LinkHeader(link));
  request.Value(IFLA_MTU, mtu);
  return Set(request, "change of the MTU", link);
}

Result<> Links::SetHairpin(int link) {
  NetlinkWriter request = Change(LinkHeader(link));
  {
    auto info = request.Open(IFLA_LINKINFO);
    request.Text(IFLA_INFO_SLAVE_KIND, "bridge");
    auto data = request.Open(IFLA_INFO_SLAVE_DATA);
    request.Value(IFLA_BRPORT_MODE, uint8_t{1});
  }
  return Set(request, "hairpin mode", link);
}

Result<> Links::AddAddress(int link, Ipv4 address, uint8_t prefix) {
  if (prefix > 32)
    return Fail(Errc::kInvalid, Cat("an IPv4 prefix of ", unsigned{prefix}, " bits"));
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = prefix;
  header.ifa_index = static_cast<uint32_t>(link);
  NetlinkWriter request;
  request.Start(RTM_NEWADDR, kCreate, BytesOf(header));
  request.Be32(IFA_LOCAL, address.value);
  request.Be32(IFA_ADDRESS, address.value);
  if (prefix < 31)
    request.Be32(IFA_BROADCAST, Subnet::Around(address, prefix).Last().value);
  return Set(request, Cat("address ", address.Text()), link);
}

Result<> Links::AddDefaultRoute(int link, Ipv4 gateway) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  NetlinkWriter request;
  request.Start(RTM_NEWROUTE, kCreate, BytesOf(header));
  request.Be32(RTA_GATEWAY, gateway.value);
  request.Value(RTA_OIF, link);
  return Set(request, Cat("default route ", gateway.Text()), link);
}

Result<LinkInfo> Links::Find(const std::string& name) {
  TRY(CheckName(name));
  NetlinkWriter request;
  request.Start(RTM_GETLINK, NLM_F_ACK, BytesOf(LinkHeader(0)));
  request.Text(IFLA_IFNAME, name);
  std::optional<LinkInfo> found;
  Result<> asked = socket_.Call(request, "find device",
                                [&](const NetlinkMessage& message) { found = ParseLink(message); });
  if (!asked && asked.error().error_number() != ENODEV)
    return std::unexpected(std::move(asked).error());
  if (!found)
    return Fail(Errc::kNotFound, Cat("there is no network device ", name));
  return *std::move(found);
}

Result<std::vector<LinkInfo>> Links::List() {
  return ListAll(socket_, RTM_GETLINK, BytesOf(LinkHeader(0)), "list devices", &ParseLink);
}

Result<std::vector<LinkAddress>> Links::Addresses() {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  return ListAll(socket_, RTM_GETADDR, BytesOf(header), "list addresses", &ParseAddress);
}

Result<std::vector<LinkRoute>> Links::Routes() {
  rtmsg header{};
  header.rtm_family = AF_INET;
  return ListAll(socket_, RTM_GETROUTE, BytesOf(header), "list routes", &ParseRoute);
}

Result<std::vector<Subnet>> Links::UsedSubnets() {
  std::vector<Subnet> used;
  std::vector<LinkAddress> addresses = TRY(Addresses());
  for (const LinkAddress& address : addresses)
    used.push_back(Subnet::Around(address.address, address.prefix));
  std::vector<LinkRoute> routes = TRY(Routes());
  for (const LinkRoute& route : routes) {
    if (route.destination.prefix != 0)
      used.push_back(route.destination);
  }
  return used;
}

}  // namespace wherry::net
