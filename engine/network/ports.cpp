#include "engine/network/ports.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxTable = 16 << 20;
constexpr std::string_view kListening = "0A";  // state of a line of /proc/net/tcp

// The inode of the socket that is bound to that port; 0 when there is none.
uint64_t SocketInode(uint8_t protocol, uint16_t port) {
  for (std::string_view suffix : {"", "6"}) {
    auto table = ReadFile(Cat("/proc/net/", ProtocolName(protocol), suffix), kMaxTable);
    if (!table)
      continue;
    for (std::string_view line : Split(*table, '\n')) {
      // "  sl  local_address rem_address   st tx:rx tr:when retrnsmt uid timeout inode"
      std::vector<std::string_view> words;
      for (std::string_view word : Split(line, ' ')) {
        if (!word.empty())
          words.push_back(word);
      }
      if (words.size() < 10 || words[0] == "sl")
        continue;
      auto local = SplitFirst(words[1], ':');
      uint32_t number = 0;
      if (local)
        std::from_chars(local->tail.data(), local->tail.data() + local->tail.size(), number, 16);
      bool bound = protocol == IPPROTO_UDP || words[3] == kListening;
      if (number == port && bound)
        return ParseUint(words[9]).value_or(0);
    }
  }
  return 0;
}

// "nginx (process 812)" for the process that holds a socket.
std::string HolderOf(uint64_t inode) {
  std::string wanted = Cat("socket:[", inode, "]");
  auto processes = ListDir("/proc");
  if (inode == 0 || !processes)
    return {};
  for (const std::string& process : *processes) {
    std::string directory = Cat("/proc/", process, "/fd");
    auto descriptors = ParseUint(process) ? ListDir(directory) : std::vector<std::string>();
    if (!descriptors)
      continue;
    for (const std::string& descriptor : *descriptors) {
      std::array<char, 64> target;
      ssize_t size =
          readlink(Cat(directory, "/", descriptor).c_str(), target.data(), target.size());
      if (size <= 0 || std::string_view(target.data(), static_cast<size_t>(size)) != wanted)
        continue;
      auto name = ReadFile(Cat("/proc/", process, "/comm"), 64);
      return Cat(name ? Trim(*name) : "", " (process ", process, ")");
    }
  }
  return {};
}

// The port that was bound; 0 when `port` is taken.
Result<uint16_t> Bind(int fd, net::Ipv4 address, uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(address.value);
  socklen_t size = sizeof name;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&name));
  if (bind(fd, generic, size) < 0)
    return errno == EADDRINUSE ? Result<uint16_t>(uint16_t{0}) : FailSys("bind", address.Text());
  if (getsockname(fd, generic, &size) < 0)
    return FailSys("getsockname");
  return ntohs(name.sin_port);
}

}  // namespace

Result<HeldPort> HoldPort(const PortRequest& request, net::Ipv4 host_address) {
  if (request.host_address != net::Ipv4{})
    host_address = request.host_address;
  int type = request.protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
  HeldPort held;
  for (uint32_t port = request.first_port; port <= request.last_port; ++port) {
    held.hold = UniqueFd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!held.hold)
      return FailSys("socket");
    uint16_t bound = TRY(Bind(held.hold.get(), host_address, static_cast<uint16_t>(port)));
    if (bound == 0)
      continue;
    held.port = {request.protocol, request.container_port, host_address, bound};
    return held;
  }
  std::string holder = HolderOf(SocketInode(request.protocol, request.first_port));
  std::string text = request.first_port == request.last_port
                         ? Cat(request.first_port)
                         : Cat(request.first_port, "-", request.last_port);
  return Fail(Errc::kConflict,
              Cat("Bind for ", host_address.Text(), ":", text, " failed: port is already allocated",
                  holder.empty() ? "" : Cat(" by ", holder)));
}

}  // namespace wherry::engine
