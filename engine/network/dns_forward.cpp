#include "engine/network/dns_forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace wherry::engine {

namespace {

constexpr uint16_t kDnsPort = 53;
constexpr std::chrono::milliseconds kPatience{
    2500};                     // with each server; C libraries give up at 5 s
constexpr size_t kRounds = 2;  // through all servers

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress ParseServer(const std::string& text) {
  SocketAddress address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(kDnsPort);
    memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(kDnsPort);
    memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
  }
  return address;
}

}  // namespace

uint16_t RandomDnsId() {
  uint16_t number = 0;
  while (getrandom(&number, sizeof number, 0) != sizeof number) {
  }
  return number;
}

DnsForward::DnsForward(Loop* loop, Transport transport, std::span<const uint8_t> query,
                       std::vector<std::string> servers, Done done)
    : loop_(loop),
      transport_(transport),
      client_id_(net::DnsId(query)),
      query_(query.begin(), query.end()),
      servers_(std::move(servers)),
      done_(std::move(done)) {}

DnsForward::~DnsForward() {
  Drop();
}

void DnsForward::Drop() {
  if (socket_)
    loop_->Remove(socket_.get());
  socket_.Reset();
  loop_->Cancel(timer_);
  in_.clear();
  out_.clear();
}

void DnsForward::Finish(net::DnsMessage answer) {
  Drop();
  net::SetDnsId(answer, client_id_);
  Done done = std::move(done_);
  done(std::move(answer));
}

void DnsForward::Next() {
  Drop();
  while (next_ < servers_.size() * kRounds) {
    if (Ask(servers_[next_++ % servers_.size()])) {
      timer_ = loop_->After(kPatience, [this] { Next(); });
      return;
    }
  }
  Finish({});
}

bool DnsForward::Ask(const std::string& server) {
  SocketAddress address = ParseServer(server);
  int type = transport_ == Transport::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  if (address.size == 0)
    return false;
  socket_ = UniqueFd(socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_)
    return false;
  const auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address.storage));
  if (connect(socket_.get(), generic, address.size) < 0 && errno != EINPROGRESS) {
    socket_.Reset();
    return false;
  }
  net::SetDnsId(query_, RandomDnsId());
  uint32_t events = EPOLLIN;
  if (transport_ == Transport::kTcp) {
    out_ = net::DnsStreamForm(query_);
    events = EPOLLOUT;
  } else if (send(socket_.get(), query_.data(), query_.size(), MSG_NOSIGNAL) < 0) {
    socket_.Reset();
    return false;
  }
  auto added = loop_->Add(socket_.get(), events, [this](uint32_t ready) { Ready(ready); });
  if (added)
    return true;
  socket_.Reset();
  return false;
}

void DnsForward::Ready(uint32_t events) {
  if (!out_.empty() && (events & EPOLLOUT) != 0) {
    ssize_t sent = send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0)
      return errno == EAGAIN ? void() : Next();
    out_.erase(out_.begin(), out_.begin() + sent);
    if (out_.empty() && !loop_->Modify(socket_.get(), EPOLLIN))
      Next();
    return;
  }
  Receive();
}

void DnsForward::Receive() {
  std::array<uint8_t, net::kMaxDnsUdp> buffer;
  ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size < 0)
    return errno == EAGAIN ? void() : Next();  // such as ECONNREFUSED
  std::span<const uint8_t> got(buffer.data(), static_cast<size_t>(size));
  if (transport_ == Transport::kUdp) {
    // Anything else is a late answer or a forged one; the right one may still come.
    if (net::DnsId(got) == net::DnsId(query_) && net::IsDnsAnswerTo(got, query_))
      Finish({got.begin(), got.end()});
    return;
  }
  if (size == 0)
    return Next();
  in_.insert(in_.end(), got.begin(), got.end());
  if (in_.size() < 2)
    return;
  size_t wanted = size_t{in_[0]} << 8 | in_[1];
  if (in_.size() < 2 + wanted)
    return;
  std::span<const uint8_t> answer = std::span<const uint8_t>(in_).subspan(2, wanted);
  if (net::DnsId(answer) != net::DnsId(query_) || !net::IsDnsAnswerTo(answer, query_))
    return Next();
  Finish({answer.begin(), answer.end()});
}

}  // namespace wherry::engine
