#include "net/link/link_reply.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>

namespace wherry::net {

namespace {

using sys::FindAttribute;
using sys::NetlinkAttribute;
using sys::NetlinkMessage;

using Attributes = std::span<const uint8_t>;

uint32_t Number(Attributes attributes, uint16_t type) {
  auto found = FindAttribute(attributes, type);
  return found ? found->As<uint32_t>().value_or(0) : 0;
}

std::string Text(Attributes attributes, uint16_t type) {
  auto found = FindAttribute(attributes, type);
  return found ? std::string(found->AsText()) : std::string();
}

std::optional<Ipv4> Address(Attributes attributes, uint16_t type) {
  auto found = FindAttribute(attributes, type);
  auto bytes = found ? found->As<uint32_t>() : std::nullopt;
  if (!bytes)
    return std::nullopt;
  return Ipv4{sys::Swap32(*bytes)};
}

}  // namespace

std::optional<LinkInfo> ParseLink(const NetlinkMessage& message) {
  auto header = message.Header<ifinfomsg>();
  if (message.type != RTM_NEWLINK || !header || header->ifi_index <= 0)
    return std::nullopt;
  Attributes attributes = message.Attributes(sizeof *header);
  LinkInfo link;
  link.index = header->ifi_index;
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.running = (header->ifi_flags & IFF_RUNNING) != 0;
  link.name = Text(attributes, IFLA_IFNAME);
  link.mtu = Number(attributes, IFLA_MTU);
  link.master = static_cast<int>(Number(attributes, IFLA_MASTER));
  if (auto mac = FindAttribute(attributes, IFLA_ADDRESS))
    link.mac = mac->As<Mac>().value_or(Mac{});
  if (auto info = FindAttribute(attributes, IFLA_LINKINFO))
    link.kind = Text(info->value, IFLA_INFO_KIND);
  return link;
}

std::optional<LinkAddress> ParseAddress(const NetlinkMessage& message) {
  auto header = message.Header<ifaddrmsg>();
  if (message.type != RTM_NEWADDR || !header || header->ifa_family != AF_INET ||
      header->ifa_prefixlen > 32)
    return std::nullopt;
  auto address = Address(message.Attributes(sizeof *header), IFA_LOCAL);
  if (!address)
    return std::nullopt;
  return LinkAddress{static_cast<int>(header->ifa_index), *address, header->ifa_prefixlen};
}

std::optional<LinkRoute> ParseRoute(const NetlinkMessage& message) {
  auto header = message.Header<rtmsg>();
  if (message.type != RTM_NEWROUTE || !header || header->rtm_family != AF_INET ||
      header->rtm_dst_len > 32)
    return std::nullopt;
  Attributes attributes = message.Attributes(sizeof *header);
  auto destination = Address(attributes, RTA_DST);
  if (!destination && header->rtm_dst_len != 0)
    return std::nullopt;
  LinkRoute route;
  route.destination = Subnet::Around(destination.value_or(Ipv4{}), header->rtm_dst_len);
  route.gateway = Address(attributes, RTA_GATEWAY).value_or(Ipv4{});
  route.link = static_cast<int>(Number(attributes, RTA_OIF));
  route.table = Number(attributes, RTA_TABLE);
  if (route.table == 0)
    route.table = header->rtm_table;
  return route;
}

}  // namespace wherry::net
