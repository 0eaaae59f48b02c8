#include "engine/network/resolver_sockets.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "core/sys/netns.h"
#include "net/link/firewall.h"

namespace wherry::engine {

namespace {

constexpr uint16_t kDnsPort = 53;
constexpr int kBacklog = 16;

struct Bound {
  UniqueFd socket;
  uint16_t port = 0;
};

Result<Bound> Bind(int netns, int type) {
  Bound bound;
  bound.socket = TRY(sys::SocketIn(netns, AF_INET, type | SOCK_NONBLOCK, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(kResolverAddress.value);
  socklen_t size = sizeof name;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&name));
  if (bind(bound.socket.get(), generic, size) < 0)
    return FailSys("bind", kResolverAddress.Text());
  if (getsockname(bound.socket.get(), generic, &size) < 0)
    return FailSys("getsockname");
  bound.port = ntohs(name.sin_port);
  return bound;
}

}  // namespace

Result<> OpenResolverSockets(int netns, UniqueFd& udp, UniqueFd& tcp) {
  Bound datagrams = TRY(Bind(netns, SOCK_DGRAM));
  Bound streams = TRY(Bind(netns, SOCK_STREAM));
  if (listen(streams.socket.get(), kBacklog) < 0)
    return FailSys("listen");
  auto lead = [](uint8_t protocol, uint16_t port) {
    return net::PublishedPort{protocol, kResolverAddress, kDnsPort, kResolverAddress, port};
  };
  net::Firewall rules = TRY(net::Firewall::Open("resolver", netns));
  net::FirewallRules wanted;
  wanted.ports = {lead(IPPROTO_UDP, datagrams.port), lead(IPPROTO_TCP, streams.port)};
  TRY(rules.Apply(wanted));
  udp = std::move(datagrams.socket);
  tcp = std::move(streams.socket);
  return {};
}

}  // namespace wherry::engine
