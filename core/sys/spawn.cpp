#include "core/sys/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"

namespace wherry::sys {

namespace {

// Answer of the child, in memory it shares with the caller; untouched when execve succeeded.
struct Answer {
  int error;
  const char* step;
};

// What the child needs, prepared by the caller: another thread may have held any lock when it was
// cloned, so it may neither allocate nor lock.
struct Plan {
  const char* program;
  int program_fd;
  char* const* argv;
  char* const* env;
  const FdMapping* fds;
  size_t fd_count;
  int* parked;      // fd_count entries
  int lowest_free;  // above every target number
  int join_cgroup;  // directory of a cgroup the child has to enter itself; -1: none
  bool new_session;
  Answer* answer;
};

bool Failed(Plan& plan, const char* step) {
  *plan.answer = {errno, step};
  return false;
}

bool MoveDescriptors(Plan& plan) {
  // First all away from the numbers that will be used, then each to its place: no mapping can
  // overwrite another's source.
  for (size_t i = 0; i < plan.fd_count; ++i) {
    plan.parked[i] = fcntl(plan.fds[i].from, F_DUPFD_CLOEXEC, plan.lowest_free);
    if (plan.parked[i] < 0)
      return Failed(plan, "fcntl");
  }
  bool taken[3] = {false, false, false};
  for (size_t i = 0; i < plan.fd_count; ++i) {
    if (dup2(plan.parked[i], plan.fds[i].to) < 0)
      return Failed(plan, "dup2");
    if (plan.fds[i].to < 3)
      taken[plan.fds[i].to] = true;
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (taken[fd])
      continue;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
      return Failed(plan, "open");
    if (null == fd) {
      if (fcntl(fd, F_SETFD, 0) < 0)
        return Failed(plan, "fcntl");
    } else if (dup2(null, fd) < 0) {
      return Failed(plan, "dup2");
    }
  }
  return true;
}

// Marks everything but the mapped numbers, so that nothing of the caller's leaks whatever its flags
// are.
bool CloseOthers(Plan& plan) {
  if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
    return true;  // before 5.11: rely on O_CLOEXEC
  for (size_t i = 0; i < plan.fd_count; ++i) {
    if (fcntl(plan.fds[i].to, F_SETFD, 0) < 0)
      return Failed(plan, "fcntl");
  }
  return true;
}

bool JoinCgroup(Plan& plan) {
  if (plan.join_cgroup < 0)
    return true;
  int procs = openat(plan.join_cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  return (procs >= 0 && write(procs, "0", 1) == 1) || Failed(plan, "enter cgroup");
}

void RunChild(Plan& plan) {
  if (!JoinCgroup(plan))
    return;
  if (plan.new_session && setsid() < 0) {
    Failed(plan, "setsid");
    return;
  }
  if (!MoveDescriptors(plan) || !CloseOthers(plan))
    return;
  ResetSignals();
  if (plan.program_fd >= 0) {
    syscall(SYS_execveat, plan.program_fd, "", plan.argv, plan.env, AT_EMPTY_PATH);
  } else {
    execve(plan.program, plan.argv, plan.env);
  }
  Failed(plan, "execve");
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings)
    pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

bool NeverWritable(int fd) {
  constexpr long kErofs = 0xe0f5e1e2;
  constexpr long kSquashfs = 0x73717368;
  struct statfs fs{};
  if (fstatfs(fd, &fs) < 0)
    return false;
  return static_cast<uint32_t>(fs.f_type) == static_cast<uint32_t>(kErofs) ||
         fs.f_type == kSquashfs;
}

Result<UniqueFd> SealedCopy(const std::string& path) {
  UniqueFd source = TRY(Open(path, O_RDONLY));
  struct stat status{};
  if (fstat(source.get(), &status) < 0)
    return FailSys("fstat", path);
  constexpr unsigned int kExec = 0x10;  // MFD_EXEC, known since 6.3
  UniqueFd copy(memfd_create("wherry", MFD_CLOEXEC | MFD_ALLOW_SEALING | kExec));
  if (!copy)
    copy.Reset(memfd_create("wherry", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy)
    return FailSys("memfd_create");
  for (off_t done = 0; done < status.st_size;) {
    ssize_t n =
        sendfile(copy.get(), source.get(), nullptr, static_cast<size_t>(status.st_size - done));
    if (n <= 0)
      return FailSys("sendfile", path);
    done += n;
  }
  if (fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) <
      0) {
    return FailSys("fcntl", "seal");
  }
  return copy;
}

}  // namespace

Result<Child> Spawn(const SpawnOptions& options) {
  std::vector<char*> argv = Pointers(options.argv);
  std::vector<char*> env = Pointers(options.env);
  std::vector<int> parked(options.fds.size(), -1);
  Plan plan{};
  plan.program = options.program.c_str();
  plan.program_fd = options.program_fd;
  plan.argv = argv.data();
  plan.env = env.data();
  plan.fds = options.fds.data();
  plan.fd_count = options.fds.size();
  plan.parked = parked.data();
  plan.join_cgroup = -1;
  plan.new_session = options.new_session;
  plan.lowest_free = 3;
  for (const FdMapping& fd : options.fds)
    plan.lowest_free = std::max(plan.lowest_free, fd.to + 1);

  void* shared =
      mmap(nullptr, sizeof(Answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    return FailSys("mmap");
  ScopeExit unmap([&] { munmap(shared, sizeof(Answer)); });
  plan.answer = static_cast<Answer*>(shared);
  // A handler of ours must not run in the child.
  sigset_t all;
  sigset_t old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  // Not CLONE_VM: with CLONE_INTO_CGROUP it would take a stack switch in assembler, and starting in
  // the cgroup saves a migration, which waits for a grace period of the kernel.
  Result<Cloned> cloned = Clone(CLONE_VFORK, options.cgroup_fd);
  if (cloned && cloned->in_child) {
    if (!cloned->joined_cgroup)
      plan.join_cgroup = options.cgroup_fd;
    RunChild(plan);
    _exit(127);
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (!cloned)
    return std::unexpected(std::move(cloned).error().Wrap(options.program));
  if (plan.answer->step != nullptr)
    return std::unexpected(Error::Sys(plan.answer->error, plan.answer->step, options.program));
  return std::move(cloned->child);
}

Result<UniqueFd> ProtectedExecutable(const std::string& path) {
  UniqueFd program = TRY(Open(path, O_PATH));
  if (NeverWritable(program.get()))
    return program;
  Result<UniqueFd> clone = CloneTree(program.get(), "", Recursive::kNo);
  if (clone) {
    MountAttributes attributes;
    attributes.set = MOUNT_ATTR_RDONLY;
    if (SetMountAttributes(clone->get(), attributes, Recursive::kNo))
      return clone;
  }
  return SealedCopy(path);
}

Result<> ReexecuteProtected(char* const* argv, char* const* env) {
  UniqueFd self = TRY(Open("/proc/self/exe", O_RDONLY));
  struct statfs fs{};
  if (fstatfs(self.get(), &fs) < 0)
    return FailSys("fstatfs", "/proc/self/exe");
  int seals = fcntl(self.get(), F_GET_SEALS);
  bool sealed = seals >= 0 && (seals & F_SEAL_WRITE) != 0;
  if (sealed || (static_cast<unsigned long>(fs.f_flags) & ST_RDONLY) != 0 ||
      NeverWritable(self.get())) {
    return {};
  }
  UniqueFd program = TRY(ProtectedSelfExecutable());
  syscall(SYS_execveat, program.get(), "", argv, env, AT_EMPTY_PATH);
  return FailSys("execveat", "/proc/self/exe");
}

}  // namespace wherry::sys
