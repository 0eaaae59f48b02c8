#include "core/sys/probe.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/sys/cgroup.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "core/sys/process.h"

namespace wherry::sys {

namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return FailSys("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Each with arguments that no kernel accepts.
struct CallRow {
  const char* name;
  long number;
  long arguments[5];
};
constexpr CallRow kCalls[] = {
    {"clone3", SYS_clone3, {0, 0}},
    {"close_range", SYS_close_range, {1, 0, 0}},
    {"mount_setattr", SYS_mount_setattr, {-1, 0, 0, 0, 0}},
    {"openat2", SYS_openat2, {-1, 0, 0, 0}},
    {"pidfd_open", SYS_pidfd_open, {-1, 0}},
};

}  // namespace

Result<> TryInChild(uint64_t namespaces, Result<> (*work)()) {
  Pipe answer = TRY(MakePipe());
  Cloned cloned = TRY(Clone(namespaces, -1));
  if (cloned.in_child) {
    Result<> done = work();
    std::string text = done ? std::string(1, '\0') : done.error().message();
    (void)WriteAll(answer.write.get(), text, "answer");
    _exit(0);
  }
  answer.write.Reset();
  std::string text = TRY(ReadAll(answer.read.get(), 1 << 16, "answer"));
  if (text.empty())
    return Fail(Errc::kInternal, "the process that asked was killed");
  if (text[0] != '\0')
    return Fail(Errc::kUnsupported, text);
  return {};
}

std::string MissingSystemCalls() {
  std::string missing;
  for (const CallRow& row : kCalls) {
    const long* a = row.arguments;
    if (syscall(row.number, a[0], a[1], a[2], a[3], a[4]) < 0 && errno == ENOSYS)
      Append(missing, missing.empty() ? "" : " ", row.name);
  }
  return missing;
}

Result<> ProbeIdmap(int dir) {
  Pipe hold = TRY(MakePipe());
  Cloned cloned = TRY(Clone(CLONE_NEWUSER, -1));
  if (cloned.in_child) {
    hold.write.Reset();
    char end = 0;
    (void)!read(hold.read.get(), &end, 1);
    _exit(0);
  }
  std::string process = Cat("/proc/", cloned.child.pid(), "/");
  TRY(WriteExisting(process + "uid_map", "0 100000 65536"));
  TRY(WriteExisting(process + "gid_map", "0 100000 65536"));
  UniqueFd owners = TRY(Open(process + "ns/user", O_RDONLY));
  UniqueFd tree = TRY(CloneTree(dir, "", Recursive::kNo));
  struct mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(owners.get());
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
    return FailSys("mount_setattr", "MOUNT_ATTR_IDMAP");
  return {};
}

Result<> ProbeCgroup(const std::string& mount) {
  UniqueFd top = TRY(OpenDir(mount));
  std::string name = Cat("wherry-check-", getpid());
  if (mkdirat(top.get(), name.c_str(), 0755) < 0)
    return FailSys("mkdir", Cat(mount, "/", name));
  ScopeExit remove([&] { (void)RemoveCgroup(Cat(mount, "/", name), std::chrono::seconds(2)); });
  UniqueFd group = TRY(OpenAt(top.get(), name, O_RDONLY | O_DIRECTORY));
  Cloned cloned = TRY(Clone(0, group.get()));
  if (cloned.in_child)
    _exit(pause());
  if (!cloned.joined_cgroup)
    return Fail(Errc::kUnsupported, "no process can be made inside a cgroup");
  return WriteExistingAt(group.get(), "cgroup.kill", "1");
}

}  // namespace wherry::sys
