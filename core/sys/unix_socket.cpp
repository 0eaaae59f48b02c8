#include "core/sys/unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "core/base/text.h"

namespace wherry::sys {

Result<UniqueFd> ConnectUnix(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Fail(Errc::kInvalid, Cat(path, " is not a path for a socket: 1 to 107 characters"));
  memcpy(address.sun_path, path.data(), path.size());
  size_t size = offsetof(sockaddr_un, sun_path) + path.size() + 1;
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
    --size;  // every byte is part of such a name
  }
  UniqueFd connection(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const void* generic = &address;
  if (!connection || connect(connection.get(), static_cast<const sockaddr*>(generic),
                             static_cast<socklen_t>(size)) < 0) {
    return FailSys("connect", path);
  }
  return connection;
}

}  // namespace wherry::sys
