#include "engine/network/peer_names.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/network/dns_forward.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kZone = ".overlay";
// A peer that is away costs a name that nobody else knows all rounds.
constexpr int kRounds = 3;
constexpr std::chrono::milliseconds kRound{200};
constexpr size_t kMaxQuestionsAtOnce = 32;

sockaddr_in Address(net::Ipv4 address, uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address.value);
  name.sin_port = htons(port);
  return name;
}

Result<UniqueFd> Socket() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd)
    return FailSys("socket");
  return fd;
}

// From the device's address `local`, where one is set. Whether it is on its way.
bool Send(int fd, net::Ipv4 local, sockaddr_in to, std::span<const uint8_t> bytes) {
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(in_pktinfo))> control{};
  iovec data{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (local != net::Ipv4{}) {
    in_pktinfo source{};
    source.ipi_spec_dst.s_addr = htonl(local.value);
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof source);
    memcpy(CMSG_DATA(header), &source, sizeof source);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) >= 0;
}

// The next datagram, in `buffer`; nothing when none is waiting.
std::optional<std::span<const uint8_t>> NextDatagram(int fd, std::span<uint8_t> buffer,
                                                     sockaddr_in& from) {
  socklen_t size = sizeof from;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&from));
  ssize_t count = recvfrom(fd, buffer.data(), buffer.size(), 0, generic, &size);
  if (count < 0)
    return std::nullopt;
  return buffer.first(static_cast<size_t>(count));
}

}  // namespace

PeerQuestion::PeerQuestion(Loop* loop, std::vector<Networks::Remote> remotes, std::string_view name,
                           Done done)
    : loop_(loop), remotes_(std::move(remotes)), done_(std::move(done)) {
  for (const Networks::Remote& remote : remotes_) {
    for (net::Ipv4 address : remote.tunnel.peers) {
      peers_.push_back(
          {&remote, address,
           net::AskDnsAddresses(RandomDnsId(), Cat(name, ".", remote.tunnel.vni, kZone))});
    }
  }
}

PeerQuestion::~PeerQuestion() {
  if (socket_)
    loop_->Remove(socket_.get());
  loop_->Cancel(timer_);
}

void PeerQuestion::Finish(std::vector<net::Ipv4> addresses) {
  loop_->Cancel(timer_);
  Done done = std::move(done_);
  done(std::move(addresses));
}

bool PeerQuestion::Waits() const {
  return std::ranges::any_of(peers_, &Peer::waits);
}

void PeerQuestion::Start() {
  auto opened = Socket();
  if (!opened || !loop_->Add(opened->get(), EPOLLIN, [this](uint32_t) { Receive(); }))
    return Finish({});
  socket_ = std::move(*opened);
  Ask();
}

void PeerQuestion::Ask() {
  if (rounds_++ == kRounds)
    return Finish({});
  for (Peer& peer : peers_) {
    const net::Tunnel& tunnel = peer.remote->tunnel;
    // Where there is no way to a peer, there is nothing to wait for.
    peer.waits = peer.waits && Send(socket_.get(), tunnel.local,
                                    Address(peer.address, tunnel.NamesPort()), peer.query);
  }
  if (!Waits())
    return Finish({});
  timer_ = loop_->After(kRound, [this] { Ask(); });
}

void PeerQuestion::Take(Peer& peer, std::span<const uint8_t> answer) {
  if (net::DnsId(answer) != net::DnsId(peer.query) || !net::IsDnsAnswerTo(answer, peer.query))
    return;
  peer.waits = false;
  std::vector<net::Ipv4> addresses;
  for (uint32_t value : net::DnsAddresses(answer)) {
    // A peer speaks for its own network only.
    if (peer.remote->subnet.Contains({value}))
      addresses.push_back({value});
  }
  if (!addresses.empty() || !Waits())
    Finish(std::move(addresses));
}

void PeerQuestion::Receive() {
  std::array<uint8_t, net::kMaxDnsUdp> buffer;
  sockaddr_in from{};
  auto got = NextDatagram(socket_.get(), buffer, from);
  if (!got)
    return;
  net::Ipv4 address{ntohl(from.sin_addr.s_addr)};
  uint16_t port = ntohs(from.sin_port);
  for (Peer& peer : peers_) {
    // A device may be a peer in two of the networks.
    bool sender = peer.address == address && peer.remote->tunnel.NamesPort() == port;
    if (sender && peer.waits && net::DnsId(*got) == net::DnsId(peer.query))
      return Take(peer, *got);
  }
}

std::optional<PeerName> ParsePeerName(const net::DnsQuestion& question) {
  std::string_view name = question.name;
  if (!question.internet || question.type != net::DnsType::kA || !name.ends_with(kZone))
    return std::nullopt;
  name.remove_suffix(kZone.size());
  auto parts = SplitLast(name, '.');
  auto vni = parts ? ParseUint(parts->tail) : Fail(Errc::kInvalid, "");
  if (!vni || *vni > net::kMaxVni || parts->head.empty())
    return std::nullopt;
  return PeerName{std::string(parts->head), static_cast<uint32_t>(*vni)};
}

PeerServer::~PeerServer() {
  for (auto& [port, socket] : sockets_)
    loop_->Remove(socket.get());
}

void PeerServer::Open(uint16_t port) {
  auto opened = Socket();
  sockaddr_in any = Address({}, port);
  const auto* generic = static_cast<sockaddr*>(static_cast<void*>(&any));
  if (opened && bind(opened->get(), generic, sizeof any) < 0)
    opened = FailSys("bind", Cat("UDP port ", port));
  Result<> added;
  if (opened)
    added = loop_->Add(opened->get(), EPOLLIN, [this, port](uint32_t) { Receive(port); });
  if (!opened || !added) {
    return LogWarning("other devices are not told the names of containers in overlay networks: ",
                      (opened ? added.error() : opened.error()).message());
  }
  sockets_[port] = std::move(*opened);
}

void PeerServer::Follow() {
  std::set<uint16_t> wanted = networks_->NamesPorts();
  std::erase_if(sockets_, [&](const auto& item) {
    if (wanted.contains(item.first))
      return false;
    loop_->Remove(item.second.get());
    return true;
  });
  for (uint16_t port : wanted) {
    if (!sockets_.contains(port))
      Open(port);
  }
}

void PeerServer::Receive(uint16_t port) {
  int fd = sockets_.at(port).get();
  std::array<uint8_t, net::kMaxDnsUdp> buffer;
  for (size_t i = 0; i < kMaxQuestionsAtOnce; ++i) {
    sockaddr_in from{};
    auto query = NextDatagram(fd, buffer, from);
    if (!query)
      return;
    auto question = net::ParseDnsQuestion(*query);
    auto asked = question ? ParsePeerName(*question) : std::nullopt;
    if (!asked)
      continue;
    auto answer = networks_->AnswerPeer({ntohl(from.sin_addr.s_addr)}, asked->vni, asked->name);
    if (!answer)
      continue;
    std::vector<uint32_t> addresses;
    for (net::Ipv4 address : answer->addresses)
      addresses.push_back(address.value);
    (void)Send(fd, answer->local, from,
               addresses.empty() ? net::AnswerDnsCode(*query, *question, net::DnsCode::kNoName)
                                 : net::AnswerDnsAddresses(*query, *question, addresses));
  }
}

}  // namespace wherry::engine
