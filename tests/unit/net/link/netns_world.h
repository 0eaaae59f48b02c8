// Network namespaces of a test, and plain sockets inside them. Nothing touches the namespace the
// test was started in.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "core/base/fd.h"
#include "core/sys/netns.h"
#include "core/sys/process.h"
#include "net/link/address.h"
#include "net/link/link.h"

namespace wherry::net {

#define ASSERT_OK(...)                                     \
  do {                                                     \
    auto&& ok_result = (__VA_ARGS__);                      \
    ASSERT_TRUE(ok_result) << ok_result.error().message(); \
  } while (false)
#define EXPECT_OK(...)                                     \
  do {                                                     \
    auto&& ok_result = (__VA_ARGS__);                      \
    EXPECT_TRUE(ok_result) << ok_result.error().message(); \
  } while (false)

inline Ipv4 Ip(const char* text) {
  return *ParseIpv4(text);
}

inline Subnet Net(const char* text) {
  return *ParseSubnet(text);
}

// An empty network namespace with lo up; gone with its last socket and device.
class TestNetns {
 public:
  TestNetns() {
    std::thread([this] {
      if (unshare(CLONE_NEWNET) != 0 || !sys::BringLoopbackUp())
        return;
      fd_ = UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }).join();
  }
  bool valid() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// Takes 127.0.0.0/8 from lo: it is routed as any other address then.
inline bool GiveUpLoopback(int netns) {
  auto fd = sys::SocketIn(netns, AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_addr.sa_family = AF_INET;
  return fd && ioctl(fd->get(), SIOCSIFADDR, &request) == 0;
}

inline sockaddr_in SocketAddress(Ipv4 address, uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(address.value);
  result.sin_port = htons(port);
  return result;
}

inline UniqueFd BoundSocket(int netns, int type, Ipv4 address, uint16_t port) {
  auto fd = sys::SocketIn(netns, AF_INET, type | SOCK_NONBLOCK, 0);
  if (!fd)
    return {};
  int on = 1;
  (void)setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in to = SocketAddress(address, port);
  if (bind(fd->get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 ||
      (type == SOCK_STREAM && listen(fd->get(), 8) != 0))
    return {};
  return *std::move(fd);
}

inline bool WaitFor(int fd, short events, int milliseconds) {
  pollfd item{fd, events, 0};
  return poll(&item, 1, milliseconds) == 1;
}

// Whether a packet comes through at all is known at once here; lost ones are not waited for long.
constexpr int kArrivesMs = 5000;
constexpr int kLostMs = 250;

// A byte from `netns` to address:port, taken by `server`, and one back. The address the server saw;
// nullopt when nothing came through.
inline std::optional<Ipv4> Reach(int netns, int type, Ipv4 address, uint16_t port, int server,
                                 int wait = kArrivesMs) {
  auto client = sys::SocketIn(netns, AF_INET, type | SOCK_NONBLOCK, 0);
  sockaddr_in to = SocketAddress(address, port);
  sockaddr_in from{};
  socklen_t size = sizeof from;
  if (!client || (connect(client->get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 &&
                  errno != EINPROGRESS))
    return std::nullopt;
  int error = 0;
  socklen_t error_size = sizeof error;
  if (!WaitFor(client->get(), POLLOUT, wait) ||
      getsockopt(client->get(), SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 || error != 0 ||
      send(client->get(), "a", 1, MSG_NOSIGNAL) != 1 || !WaitFor(server, POLLIN, wait))
    return std::nullopt;
  UniqueFd accepted;
  int peer = server;
  if (type == SOCK_STREAM) {
    accepted = UniqueFd(accept4(server, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    peer = accepted.get();
    if (!accepted || !WaitFor(peer, POLLIN, wait) ||
        getpeername(peer, reinterpret_cast<sockaddr*>(&from), &size) != 0)
      return std::nullopt;
  }
  char byte = 0;
  sockaddr_in sender{};
  socklen_t sender_size = sizeof sender;
  if (recvfrom(peer, &byte, 1, 0, reinterpret_cast<sockaddr*>(&sender), &sender_size) != 1)
    return std::nullopt;
  if (type == SOCK_DGRAM)
    from = sender;
  if (sendto(peer, "b", 1, MSG_NOSIGNAL,
             type == SOCK_DGRAM ? reinterpret_cast<sockaddr*>(&from) : nullptr,
             type == SOCK_DGRAM ? sizeof from : 0) != 1 ||
      !WaitFor(client->get(), POLLIN, wait) || recv(client->get(), &byte, 1, 0) != 1 || byte != 'b')
    return std::nullopt;
  return Ipv4{ntohl(from.sin_addr.s_addr)};
}

// Whether a datagram arrives at `server`; nothing is sent back.
inline bool Arrives(int netns, Ipv4 address, uint16_t port, int server, int wait = kArrivesMs) {
  auto client = sys::SocketIn(netns, AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to = SocketAddress(address, port);
  char byte = 0;
  return client &&
         sendto(client->get(), "a", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 1 &&
         WaitFor(server, POLLIN, wait) && recv(server, &byte, 1, 0) == 1;
}

// Whether an ICMP echo is answered.
inline bool Ping(int netns, Ipv4 address, int wait = kArrivesMs) {
  auto fd = sys::SocketIn(netns, AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (!fd)
    return false;
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  echo.un.echo.id = htons(4711);
  echo.checksum = static_cast<uint16_t>(~(htons(ICMP_ECHO << 8) + htons(4711)));
  sockaddr_in to = SocketAddress(address, 0);
  if (sendto(fd->get(), &echo, sizeof echo, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) !=
      sizeof echo)
    return false;
  while (WaitFor(fd->get(), POLLIN, wait)) {
    struct {
      iphdr ip;
      icmphdr icmp;
    } answer{};
    if (recv(fd->get(), &answer, sizeof answer, 0) == sizeof answer &&
        answer.icmp.type == ICMP_ECHOREPLY && answer.ip.saddr == to.sin_addr.s_addr)
      return true;
  }
  return false;
}

}  // namespace wherry::net
