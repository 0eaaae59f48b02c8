#include "core/sys/user_namespace.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/process.h"
#include "core/sys/spawn.h"

namespace wherry::sys {

namespace {

Result<> WriteMap(pid_t pid, std::string_view file, const IdMap& map) {
  std::string text;
  for (const IdRange& range : map)
    Append(text, range.inside, " ", range.outside, " ", range.count, "\n");
  Result<> written = WriteExisting(Cat("/proc/", pid, "/", file), text);
  if (written || written.error().error_number() != EINVAL)
    return written;
  return Fail(Errc::kInvalid,
              Cat("the kernel refuses the ", file,
                  " of the user namespace: its ranges overlap, are more than 340, or name ids that "
                  "are not mapped here"));
}

// By the programs of Debian's package uidmap, which may.
Result<> WriteByHelper(pid_t pid, const std::string& program, const IdMap& map) {
  SpawnOptions options;
  options.program = Cat("/usr/bin/", program);
  options.argv = {program, Cat(pid)};
  for (const IdRange& range : map) {
    for (uint32_t number : {range.inside, range.outside, range.count})
      options.argv.push_back(Cat(number));
  }
  options.fds = {{STDERR_FILENO, STDERR_FILENO}};
  Child child = TRY_CTX("ids of others need the package uidmap", Spawn(options));
  ExitStatus status = TRY(child.Release().Wait());
  if (status.code == 0 && status.signal == 0)
    return {};
  return Fail(Errc::kDenied, Cat(program,
                                 " refuses the ids; /etc/subuid and /etc/subgid have to give "
                                 "them to this user"));
}

// The one id that everybody may map, without groups, which could be a way to be denied less.
bool IsOwn(const IdMap& map, uint32_t id) {
  return map.size() == 1 && map[0].outside == id && map[0].count == 1;
}

Result<> WriteUnprivileged(pid_t pid, const IdMaps& maps) {
  if (IsOwn(maps.groups, getegid())) {
    TRY(WriteExisting(Cat("/proc/", pid, "/setgroups"), "deny"));
    TRY(WriteMap(pid, "gid_map", maps.groups));
  } else {
    TRY(WriteByHelper(pid, "newgidmap", maps.groups));
  }
  if (IsOwn(maps.users, geteuid()))
    return WriteMap(pid, "uid_map", maps.users);
  return WriteByHelper(pid, "newuidmap", maps.users);
}

Result<IdMap> ReadMap(const std::string& path) {
  std::string text = TRY(ReadFile(path));
  IdMap map;
  for (std::string_view line : Split(Trim(text), '\n')) {
    std::array<uint32_t, 3> numbers{};
    size_t found = 0;
    for (std::string_view word : Split(line, ' ')) {
      if (word.empty() || found == numbers.size())
        continue;
      numbers[found] = static_cast<uint32_t>(TRY(ParseUint(word)));
      ++found;
    }
    if (found == numbers.size())
      map.push_back({numbers[0], numbers[1], numbers[2]});
  }
  return map;
}

// Its pid in the pid namespace that /proc shows, which may be another than the caller's.
Result<pid_t> PidInProcfs(const PidFd& process) {
  constexpr std::string_view kKey = "Pid:\t";
  std::string text = TRY(ReadFile(Cat("/proc/self/fdinfo/", process.fd())));
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with(kKey))
      return static_cast<pid_t>(TRY(ParseUint(line.substr(kKey.size()))));
  }
  return Fail(Errc::kNotFound, "/proc does not show a process of this pid namespace");
}

}  // namespace

Result<> WriteIdMaps(pid_t pid, const IdMaps& maps) {
  if (geteuid() != 0)
    return WriteUnprivileged(pid, maps);
  TRY(WriteMap(pid, "gid_map", maps.groups));
  return WriteMap(pid, "uid_map", maps.users);
}

Result<IdMaps> ReadIdMaps(pid_t pid) {
  IdMaps maps;
  maps.users = TRY(ReadMap(Cat("/proc/", pid, "/uid_map")));
  maps.groups = TRY(ReadMap(Cat("/proc/", pid, "/gid_map")));
  return maps;
}

bool InUserNamespace() {
  Result<IdMap> map = ReadMap("/proc/self/uid_map");
  return map && (map->size() != 1 || (*map)[0].outside != 0 || (*map)[0].count != UINT32_MAX);
}

Result<> BecomeNamespaceRoot(Groups groups) {
  if (groups == Groups::kDrop && setgroups(0, nullptr) < 0 && errno != EPERM)
    return FailSys("setgroups");
  if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
    return FailSys("setresgid");
  if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
    return FailSys("setresuid");
  return {};
}

// The file system ids are a thread's own. Without the security bit the kernel would take the
// capabilities over files away with 0.
Result<ActingAs> ActingAs::Begin(uid_t uid, gid_t gid) {
  int bits = prctl(PR_GET_SECUREBITS);
  if (bits < 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) < 0)
    return FailSys("prctl", "PR_SET_SECUREBITS");
  ActingAs acting(bits);
  setfsgid(gid);
  setfsuid(uid);
  if (static_cast<uid_t>(setfsuid(uid)) != uid || static_cast<gid_t>(setfsgid(gid)) != gid)
    return Fail(Errc::kDenied,
                Cat("the daemon may not act as user ", uid, ": it needs CAP_SETUID"));
  return acting;
}

ActingAs::~ActingAs() {
  if (bits_ < 0)
    return;
  setfsuid(geteuid());
  setfsgid(getegid());
  (void)prctl(PR_SET_SECUREBITS, bits_);
}

Result<UniqueFd> MakeUserNamespace(const IdMaps& maps) {
  Cloned cloned = TRY(Clone(CLONE_NEWUSER, -1));
  if (cloned.in_child) {
    for (;;)
      pause();  // until the other side has what it wants of it
  }
  pid_t pid = TRY(PidInProcfs(cloned.child.process()));
  TRY(WriteIdMaps(pid, maps));
  return Open(Cat("/proc/", pid, "/ns/user"), O_RDONLY);
}

}  // namespace wherry::sys
