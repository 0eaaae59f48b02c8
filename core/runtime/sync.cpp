#include "core/runtime/sync.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/sys/pass_fd.h"

namespace wherry::runtime {

namespace {

struct Header {
  uint8_t kind;
  uint8_t exit_code;
  uint8_t errc;
  uint8_t zero;
};

constexpr size_t kMaxText = 4000;

struct Packet {
  Header header;
  std::array<char, kMaxText> text;
};

Result<> Send(int socket, const Header& header, std::string_view text, int fd) {
  Packet packet{};
  packet.header = header;
  size_t length = std::min(text.size(), kMaxText);
  std::copy_n(text.data(), length, packet.text.data());
  const void* bytes = &packet;
  return sys::SendFd(socket, {static_cast<const char*>(bytes), sizeof(Header) + length}, fd,
                     "container set-up");
}

UniqueFd TakeRights(const msghdr& message) {
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == nullptr || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
    return UniqueFd();
  if (rights->cmsg_len < CMSG_LEN(sizeof(int)))
    return UniqueFd();
  int fd = -1;
  memcpy(&fd, CMSG_DATA(rights), sizeof(int));
  return UniqueFd(fd);
}

}  // namespace

Result<SyncPair> MakeSyncPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    return FailSys("socketpair");
  SyncPair pair;
  pair.runtime.Reset(ends[0]);
  pair.init.Reset(ends[1]);
  return pair;
}

Result<> SendSync(int socket, SyncKind kind) {
  Header header{};
  header.kind = static_cast<uint8_t>(kind);
  return Send(socket, header, {}, -1);
}

Result<> SendSyncFd(int socket, SyncKind kind, int fd, std::string_view text) {
  Header header{};
  header.kind = static_cast<uint8_t>(kind);
  return Send(socket, header, text, fd);
}

Result<> SendSyncError(int socket, const StartError& error) {
  Header header{};
  header.kind = static_cast<uint8_t>(SyncKind::kError);
  header.exit_code = static_cast<uint8_t>(error.exit_code);
  header.errc = static_cast<uint8_t>(error.error.code());
  return Send(socket, header, error.error.message(), -1);
}

Result<std::optional<SyncMessage>> ReceiveSync(int socket) {
  Packet packet{};
  struct iovec part{};
  part.iov_base = &packet;
  part.iov_len = sizeof(packet);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  struct msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = -1;
  do {
    n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != ECONNRESET)
    return FailSys("recvmsg", "container set-up");
  UniqueFd fd = TakeRights(message);
  if (n < static_cast<ssize_t>(sizeof(Header)))
    return std::optional<SyncMessage>();
  SyncMessage result;
  result.kind = static_cast<SyncKind>(packet.header.kind);
  result.exit_code = packet.header.exit_code;
  result.errc = static_cast<Errc>(packet.header.errc);
  result.text.assign(packet.text.data(), static_cast<size_t>(n) - sizeof(Header));
  result.fd = std::move(fd);
  return std::optional<SyncMessage>(std::move(result));
}

}  // namespace wherry::runtime
