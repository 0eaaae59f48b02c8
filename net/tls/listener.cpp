#include "net/tls/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/base/text.h"
#include "net/tls/resolve.h"

namespace wherry::tls {

namespace {

constexpr int kBacklog = 32;

Result<Address> Parse(const std::string& text) {
  auto refuse = [&text] {
    return Fail(Errc::kInvalid, Cat("'", text,
                                    "' is not ADDRESS:PORT such as 0.0.0.0:2376 or "
                                    "[::]:2376"));
  };
  auto split = SplitLast(text, ':');
  if (!split)
    return refuse();
  auto port = ParseUint(split->tail);
  if (!port || *port > 65535)
    return refuse();
  std::string host(split->head);
  Address address;
  if (host.starts_with('[') && host.ends_with(']')) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(*port));
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) != 1)
      return refuse();
    memcpy(&address.storage, &v6, sizeof(v6));
    address.size = sizeof(v6);
    return address;
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(static_cast<uint16_t>(*port));
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1)
    return refuse();
  memcpy(&address.storage, &v4, sizeof(v4));
  address.size = sizeof(v4);
  return address;
}

}  // namespace

Result<> CheckListenAddress(const std::string& address) {
  TRY(Parse(address));
  return {};
}

Result<UniqueFd> ListenTcp(const std::string& address) {
  Address parsed = TRY(Parse(address));
  UniqueFd fd(socket(parsed.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd)
    return FailSys("socket");
  int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), parsed.get(), parsed.size) != 0) {
    if (errno == EADDRINUSE) {
      return Fail(Errc::kBusy,
                  Cat("another process listens on ", address, "; stop it or choose another port"));
    }
    return FailSys("bind", address);
  }
  if (listen(fd.get(), kBacklog) != 0)
    return FailSys("listen", address);
  return fd;
}

std::string PeerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  void* bytes = &storage;
  if (getpeername(fd, static_cast<sockaddr*>(bytes), &size) != 0)
    return "a client";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* v4 = static_cast<const sockaddr_in*>(bytes);
  const auto* v6 = static_cast<const sockaddr_in6*>(bytes);
  if (storage.ss_family == AF_INET &&
      inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size()) != nullptr)
    return Cat(text.data(), ":", ntohs(v4->sin_port));
  if (storage.ss_family == AF_INET6 &&
      inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size()) != nullptr)
    return Cat("[", text.data(), "]:", ntohs(v6->sin6_port));
  return "a client";
}

}  // namespace wherry::tls
