#include "core/runtime/identity.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/user_db.h"
#include "core/sys/path.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr size_t kMaxDatabase = 1 << 20;

// What prlimit calls a resource: an enum with glibc, an int with musl.
#ifdef __GLIBC__
using RlimitResource = __rlimit_resource;
#else
using RlimitResource = int;
#endif

Result<> ExpectRegular(int fd, const std::string& path) {
  struct stat status{};
  if (fstat(fd, &status) < 0)
    return FailSys("fstat", path);
  if (!S_ISREG(status.st_mode))
    return Fail(Errc::kInvalid, Cat(path, " in the container is not a regular file"));
  return {};
}

// "" when there is none.
Result<std::string> ReadDatabase(int root, const std::string& path) {
  Result<UniqueFd> found = sys::OpenInRoot(root, path, O_PATH);
  if (!found && found.error().error_number() == ENOENT)
    return std::string();
  if (!found)
    return std::unexpected(std::move(found).error());
  TRY(ExpectRegular(found->get(), path));
  UniqueFd fd = TRY(sys::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  TRY(ExpectRegular(fd.get(), path));
  return ReadAll(fd.get(), kMaxDatabase, Cat(path, " in the container"));
}

void AppendUnique(std::vector<uint32_t>& groups, uint32_t gid) {
  if (std::ranges::find(groups, gid) == groups.end())
    groups.push_back(gid);
}

Result<Identity> ResolveByName(int root, const oci::User& user) {
  std::string passwd = TRY(ReadDatabase(root, "/etc/passwd"));
  std::string group = TRY(ReadDatabase(root, "/etc/group"));
  ResolvedUser resolved = TRY(ResolveUser(user.username, passwd, group));
  Identity identity;
  identity.uid = resolved.uid;
  identity.gid = resolved.gid;
  identity.groups = std::move(resolved.additional_gids);
  identity.keeps_groups = user.keeps_groups;
  for (uint32_t gid : user.additional_gids)
    AppendUnique(identity.groups, gid);
  identity.home = std::move(resolved.home);
  return identity;
}

}  // namespace

Result<std::optional<Owner>> NamespaceRoot(pid_t pid) {
  IdMaps maps = TRY(sys::ReadIdMaps(pid));
  std::optional<uint32_t> uid = OutsideId(maps.users, 0);
  std::optional<uint32_t> gid = OutsideId(maps.groups, 0);
  if (!uid || !gid)
    return std::optional<Owner>();
  return std::optional<Owner>(Owner{*uid, *gid});
}

Result<> GivePipes(const StandardStreams& streams, const Owner& root) {
  for (int fd : {streams.in, streams.out, streams.err}) {
    struct stat status{};
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode))
      continue;
    if (fchown(fd, root.uid, root.gid) < 0 && errno != EPERM)
      return FailSys("fchown", "standard stream");
  }
  return {};
}

bool NeedsHome(const std::vector<std::string>& env) {
  std::string_view last = "HOME=";
  for (std::string_view entry : env) {
    if (entry.starts_with("HOME="))
      last = entry;
  }
  return last == "HOME=";
}

Result<Identity> ResolveIdentity(int root, const oci::Process& process) {
  const oci::User& user = process.user;
  if (!user.username.empty())
    return ResolveByName(root, user);
  Identity identity;
  identity.uid = user.uid;
  identity.gid = user.gid;
  identity.groups = user.additional_gids;
  identity.keeps_groups = user.keeps_groups;
  if (!NeedsHome(process.env))
    return identity;
  Result<std::string> passwd = ReadDatabase(root, "/etc/passwd");
  if (!passwd)
    return identity;
  std::optional<UserEntry> entry = FindUser(*passwd, identity.uid);
  if (entry && !entry->home.empty())
    identity.home = std::string(entry->home);
  return identity;
}

Result<CapabilitySets> ParseCapabilitySets(const oci::Process& process) {
  CapabilitySets sets;
  if (!process.capabilities)
    return sets;
  const oci::Capabilities& names = *process.capabilities;
  sets.bounding = TRY_CTX("process.capabilities.bounding", ParseCapabilities(names.bounding));
  sets.effective = TRY_CTX("process.capabilities.effective", ParseCapabilities(names.effective));
  sets.permitted = TRY_CTX("process.capabilities.permitted", ParseCapabilities(names.permitted));
  sets.inheritable =
      TRY_CTX("process.capabilities.inheritable", ParseCapabilities(names.inheritable));
  sets.ambient = TRY_CTX("process.capabilities.ambient", ParseCapabilities(names.ambient));
  return sets;
}

Result<> SetRlimits(pid_t pid, const std::vector<oci::Rlimit>& limits) {
  for (const oci::Rlimit& limit : limits) {
    struct rlimit value{};
    value.rlim_cur = limit.soft >= RLIM_INFINITY ? RLIM_INFINITY : static_cast<rlim_t>(limit.soft);
    value.rlim_max = limit.hard >= RLIM_INFINITY ? RLIM_INFINITY : static_cast<rlim_t>(limit.hard);
    if (prlimit(pid, static_cast<RlimitResource>(limit.resource), &value, nullptr) == 0)
      continue;
    if (errno == EPERM) {
      return Fail(Errc::kDenied, Cat("cannot raise ", limit.type,
                                     " above the hard limit wherry runs with: it needs "
                                     "CAP_SYS_RESOURCE, or a lower limit"));
    }
    return FailSys("prlimit", limit.type);
  }
  return {};
}

Result<> SwitchUser(const Identity& identity, CapabilitySet bounding) {
  TRY(DropBounding(bounding));
  TRY(KeepCapabilitiesOverSetuid());
  if (!identity.keeps_groups && setgroups(identity.groups.size(), identity.groups.data()) < 0 &&
      (errno != EPERM || !identity.groups.empty())) {
    return FailSys("setgroups", "additional groups of the program");
  }
  if (setresgid(identity.gid, identity.gid, identity.gid) < 0)
    return FailSys("setresgid", Cat(identity.gid));
  if (setresuid(identity.uid, identity.uid, identity.uid) < 0)
    return FailSys("setresuid", Cat(identity.uid));
  return {};
}

}  // namespace wherry::runtime
