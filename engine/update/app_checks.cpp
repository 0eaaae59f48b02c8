#include "engine/update/app_checks.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>

#include "core/base/fd.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{3000};

// A connection, and until when its other side has to have done what is wanted.
struct Peer {
  UniqueFd fd;
  std::string name;
  std::chrono::nanoseconds deadline;

  Result<> Await(short events) const {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Uptime());
    pollfd entry{fd.get(), events, 0};
    int ready = left.count() > 0 ? poll(&entry, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno != EINTR)
      return FailSys("poll", name);
    if (ready <= 0)
      return Fail(Errc::kTimeout, Cat(name, " does not answer"));
    return {};
  }
};

Result<Peer> ConnectTo(net::Ipv4 address, uint16_t port) {
  Peer peer;
  peer.name = Cat(address.Text(), ":", port);
  peer.deadline = Uptime() + kPatience;
  peer.fd = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!peer.fd)
    return FailSys("socket", peer.name);
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(port);
  target.sin_addr.s_addr = htonl(address.value);
  if (connect(peer.fd.get(), reinterpret_cast<sockaddr*>(&target), sizeof target) == 0)
    return peer;
  if (errno != EINPROGRESS)
    return FailSys("connect", peer.name);
  TRY(peer.Await(POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(peer.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    return FailSys("getsockopt", peer.name);
  if (error != 0)
    return std::unexpected(Error::Sys(error, "connect", peer.name));
  return peer;
}

// The first bytes of the answer, enough for the status.
Result<std::string> Ask(const Peer& peer, std::string_view request) {
  constexpr size_t kEnough = 12;  // "HTTP/1.1 200"
  if (send(peer.fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return FailSys("send", peer.name);
  std::string answer;
  while (answer.size() < kEnough) {
    TRY(peer.Await(POLLIN));
    std::array<char, 256> piece;
    ssize_t got = recv(peer.fd.get(), piece.data(), piece.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (got < 0)
      return FailSys("recv", peer.name);
    if (got == 0)
      break;
    answer.append(piece.data(), static_cast<size_t>(got));
  }
  return answer;
}

}  // namespace

Result<> CheckTcp(net::Ipv4 address, uint16_t port) {
  TRY(ConnectTo(address, port));
  return {};
}

Result<> CheckHttp(net::Ipv4 address, uint16_t port, std::string_view path) {
  Peer peer = TRY(ConnectTo(address, port));
  std::string answer =
      TRY(Ask(peer, Cat("GET ", path, " HTTP/1.1\r\nHost: ", peer.name,
                        "\r\nUser-Agent: wherry\r\nAccept: */*\r\nConnection: close\r\n\r\n")));
  std::string url = Cat("http://", peer.name, path);
  // RFC 9112 section 4: "HTTP/1.1 200 OK".
  Result<int64_t> status = answer.starts_with("HTTP/1.") && answer.size() >= 12
                               ? ParseInt(std::string_view(answer).substr(9, 3))
                               : Result<int64_t>(0);
  if (!status || *status == 0)
    return Fail(Errc::kUnavailable, Cat(url, " does not answer in HTTP"));
  if (*status < 200 || *status > 399)
    return Fail(Errc::kUnavailable, Cat(url, " answers with status ", *status));
  return {};
}

}  // namespace wherry::engine
