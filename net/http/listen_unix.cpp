#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/user_db.h"
#include "net/http/server.h"

namespace wherry::http {

namespace {

constexpr int kBacklog = 128;
constexpr size_t kMaxGroupFile = 1 << 20;

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Fail(Errc::kInvalid, Cat("socket path \"", path, "\" must have 1 to ",
                                    sizeof(address.sun_path) - 1, " characters"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes the socket of a process that has ended.
Result<> RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Result<>() : FailSys("stat", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Fail(Errc::kExists,
                Cat(path, " exists and is not a socket; remove it or choose another path"));
  }
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) {
    return FailSys("socket");
  }
  int status = connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (status == 0 || errno != ECONNREFUSED) {
    return Fail(Errc::kBusy,
                Cat("another process listens on ", path, "; stop it or choose another socket"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return FailSys("unlink", path);
  }
  return {};
}

std::optional<uint32_t> GroupNumber(std::string_view group) {
  auto number = ParseUserNumber(group);
  if (number && *number) {
    return *number;
  }
  Result<std::string> text = ReadFile("/etc/group", kMaxGroupFile);
  auto entry = text ? FindGroup(*text, group) : std::nullopt;
  return entry ? std::optional(entry->gid) : std::nullopt;
}

}  // namespace

Result<UniqueFd> ListenUnix(const std::string& path, uint32_t mode, std::string_view group) {
  sockaddr_un address = TRY(Address(path));
  TRY(RemoveStale(path, address));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    return FailSys("socket");
  }
  // Linux gives the file the mode of the socket at bind: no moment of wider access, no change of
  // the process's umask.
  if (fchmod(fd.get(), 0) != 0) {
    return FailSys("fchmod", path);
  }
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailSys("bind", path);
  }
  std::optional<uint32_t> gid = GroupNumber(group.empty() ? "wherry" : group);
  if (gid && chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
    return FailSys("chown", path);
  }
  if (chmod(path.c_str(), mode) != 0) {
    return FailSys("chmod", path);
  }
  if (listen(fd.get(), kBacklog) != 0) {
    return FailSys("listen", path);
  }
  return fd;
}

}  // namespace wherry::http
