// The order is that of runtime.md in the specification as crun implements it, with one difference:
// pivot_root comes before the mounts, whose sources were opened as detached mounts before. So no
// path is ever resolved on the host after the container's file system has come into play, and none
// inside the container before.
#include "core/runtime/init.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/runtime/identity.h"
#include "core/runtime/masks.h"
#include "core/runtime/mounts.h"
#include "core/runtime/program.h"
#include "core/runtime/rootfs.h"
#include "core/runtime/seccomp.h"
#include "core/runtime/sync.h"
#include "core/sys/path.h"

namespace wherry::runtime {

namespace {

constexpr uint32_t kDefaultUmask = 0022;
constexpr int kSysAdmin = 21;  // CAP_SYS_ADMIN

struct JoinRow {
  oci::NamespaceType type;
  int flag;
};
constexpr JoinRow kJoinable[] = {
    {oci::NamespaceType::kNetwork, CLONE_NEWNET},
    {oci::NamespaceType::kIpc, CLONE_NEWIPC},
    {oci::NamespaceType::kUts, CLONE_NEWUTS},
};

class Init {
 public:
  explicit Init(const InitPlan& plan)
      : plan_(plan), request_(plan.request), spec_(plan.request.spec) {}

  // Returns only with an error.
  StartResult<> Run() {
    TRY(ResetProcess());
    TRY(EnterNamespaces());
    TRY(BuildFileSystem());
    TRY(OpenStandardStreams());
    // First as root, so that a directory the user cannot enter may still be where it starts, as
    // with runc.
    bool entered = fchdir(cwd_.get()) == 0;
    TRY(BecomeUser());
    if (!entered)
      TRY(EnterDirectory());
    TRY(CheckDirectory());
    std::string program = TRY(FindProgram(spec_.process.args[0], env_));
    TRY(SendSync(plan_.sync, SyncKind::kReady));
    TRY(Await(SyncKind::kGo));
    TRY(Confine());
    return std::unexpected(Execute(program, spec_.process.args, env_));
  }

 private:
  Result<> ResetProcess();
  Result<> EnterNamespaces();
  Result<> SetOomScore();
  Result<> BuildFileSystem();
  Result<> FillFileSystem();
  Result<> OpenStandardStreams();
  Result<> GiveToUser(int fd);
  Result<> BecomeUser();
  StartResult<> EnterDirectory();
  Result<> CheckDirectory();
  Result<> Confine();
  Result<> Await(SyncKind kind);

  const InitPlan& plan_;
  const ContainerRequest& request_;
  const oci::RuntimeSpec& spec_;
  UniqueFd root_;
  UniqueFd console_slave_;
  UniqueFd cwd_;
  Identity identity_;
  std::vector<std::string> env_;
};

// What the caller may have left behind in the process.
Result<> Init::ResetProcess() {
  // Nobody who shares a namespace with the container may look into this process before execve
  // (CVE-2016-9962).
  if (prctl(PR_SET_DUMPABLE, 0) < 0)
    return FailSys("prctl", "PR_SET_DUMPABLE");
  // Also what the caller inherited without the flag; all that is opened from here on has it
  // (CVE-2024-21626).
  TRY(sys::CloexecFrom(3));
  umask(0);  // modes of nodes and directories are exact; the program's own mask is set at the end
  if (setsid() < 0)
    return FailSys("setsid");
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    (void)sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) < 0)
    return FailSys("sigprocmask");
  TRY(sys::JoinSessionKeyring(Cat("_ses.", request_.id)));
  return SetOomScore();
}

Result<> Init::SetOomScore() {
  if (!spec_.process.oom_score_adj)
    return {};
  Result<> set = WriteExisting("/proc/self/oom_score_adj", Cat(*spec_.process.oom_score_adj));
  if (set || set.error().code() != Errc::kDenied)
    return set;
  return Fail(Errc::kDenied, Cat("cannot lower oom_score_adj to ", *spec_.process.oom_score_adj,
                                 ": it needs CAP_SYS_RESOURCE, or a higher value"));
}

Result<> Init::EnterNamespaces() {
  if (plan_.await_cgroup)
    TRY(Await(SyncKind::kProceed));
  for (const JoinRow& row : kJoinable) {
    const oci::Namespace* entry = spec_.FindNamespace(row.type);
    if (entry == nullptr || entry->path.empty())
      continue;
    TRY_CTX(Cat("join ", oci::NamespaceName(row.type), " namespace"),
            sys::JoinNamespace(entry->path, row.flag));
  }
  // Only now: the root of a cgroup namespace is the cgroup its creator is in, and clone3 would take
  // the parent's.
  if (spec_.FindNamespace(oci::NamespaceType::kCgroup) != nullptr)
    TRY_CTX("cgroup namespace", sys::Unshare(CLONE_NEWCGROUP));
  if (!spec_.hostname.empty() && sethostname(spec_.hostname.data(), spec_.hostname.size()) < 0) {
    return FailSys("sethostname", spec_.hostname);
  }
  if (!spec_.domainname.empty() &&
      setdomainname(spec_.domainname.data(), spec_.domainname.size()) < 0) {
    return FailSys("setdomainname", spec_.domainname);
  }
  const oci::Namespace* network = spec_.FindNamespace(oci::NamespaceType::kNetwork);
  if (network != nullptr && network->path.empty())
    TRY(sys::BringLoopbackUp());
  return {};
}

Result<> Init::BuildFileSystem() {
  // On the host: open all that is needed.
  MountPlan mounts = TRY(MountPlan::Open(spec_, request_.bundle, plan_.cgroup_root));
  DevicePlan devices = TRY(DevicePlan::Open(spec_));
  UniqueFd null_mount;
  if (!spec_.masked_paths.empty())
    null_mount = TRY(CloneHostNull());
  int procfs = -1;
  if (!spec_.sysctl.empty() || !sys::HasMountSetattr())
    procfs = TRY(mounts.Procfs());
  TRY(WriteSysctls(spec_, procfs));
  // From here on inside.
  root_ = TRY(EnterRootfs(request_));
  TRY(mounts.Attach(root_.get()));
  if (!mounts.DevIsBound())
    TRY(devices.Create(root_.get()));
  if (spec_.process.terminal) {
    Console console = TRY(CreateConsole(root_.get(), mounts.Devpts(), spec_.process.console_size));
    TRY(SendSyncFd(plan_.sync, SyncKind::kConsole, console.master.get()));
    console_slave_ = std::move(console.slave);
  }
  TRY(MaskPaths(root_.get(), std::move(null_mount), spec_, procfs));
  TRY(MakePathsReadonly(root_.get(), spec_, procfs));
  TRY(FillFileSystem());
  return SealRootfs(root_.get(), spec_, procfs);
}

// What has to be found or made inside the finished tree while it is still writable.
Result<> Init::FillFileSystem() {
  cwd_ = TRY_CTX("working directory", sys::OpenOrCreateInRoot(root_.get(), spec_.process.cwd,
                                                              sys::CreateAs::kDirectory));
  identity_ = TRY(ResolveIdentity(root_.get(), spec_.process));
  env_ = spec_.process.env;
  if (NeedsHome(env_))
    env_.push_back(Cat("HOME=", identity_.home));
  return {};
}

// As runc does: so that a program that is not root can open /dev/stdout again.
Result<> Init::GiveToUser(int fd) {
  struct stat status{};
  if (fstat(fd, &status) < 0)
    return FailSys("fstat", "standard stream");
  if (status.st_uid == identity_.uid || fchown(fd, identity_.uid, status.st_gid) == 0)
    return {};
  constexpr std::array kHarmless = {EPERM, EROFS, EINVAL, ENOSYS};
  for (int error_number : kHarmless) {
    if (errno == error_number)
      return {};
  }
  return FailSys("fchown", "standard stream");
}

Result<> Init::OpenStandardStreams() {
  std::array<int, 3> wanted = {request_.stdin_fd, request_.stdout_fd, request_.stderr_fd};
  std::array<UniqueFd, 3> sources;
  for (size_t i = 0; i < wanted.size(); ++i) {
    int fd = console_slave_ ? console_slave_.get() : wanted[i];
    if (fd < 0 || IsNullDevice(fd)) {
      // Never the host's node: its mode could be changed through the descriptor.
      sources[i] = TRY(OpenContainerNull(root_.get()));
      continue;
    }
    TRY(GiveToUser(fd));
    sources[i].Reset(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!sources[i])
      return FailSys("fcntl", "standard stream");
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (dup2(sources[i].get(), static_cast<int>(i)) < 0)
      return FailSys("dup2", "standard stream");
  }
  if (console_slave_ && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
    return FailSys("ioctl", "controlling terminal");
  return {};
}

Result<> Init::BecomeUser() {
  TRY(SetRlimits(spec_.process.rlimits));
  TRY(SwitchUser(identity_, plan_.capabilities.bounding));
  CapabilitySets sets = plan_.capabilities;
  if (!request_.seccomp.empty() && !spec_.process.no_new_privileges) {
    // Loading the filter needs it; Confine takes it away again.
    sets.permitted |= CapabilityBit(kSysAdmin);
    sets.ambient = 0;
  }
  return SetCapabilities(sets);
}

StartResult<> Init::EnterDirectory() {
  if (fchdir(cwd_.get()) == 0)
    return {};
  int code = errno == EACCES || errno == ENOTDIR ? StartError::kNotExecutable : StartError::kSetup;
  Error error = Error::Sys(
      errno, Cat("chdir to cwd (\"", spec_.process.cwd, "\") set in config.json failed"));
  return std::unexpected(StartError(std::move(error), code));
}

// The directory was resolved inside the root, without magic links; the check of the name catches
// what no rule foresaw (CVE-2024-21626).
Result<> Init::CheckDirectory() {
  std::array<char, 4096> name;
  if (getcwd(name.data(), name.size()) == nullptr || name[0] != '/') {
    return Fail(Errc::kDenied,
                Cat("cwd \"", spec_.process.cwd, "\" is outside the container's root file system"));
  }
  return {};
}

// After this only execve may follow, and the report of its failure: the filter may forbid anything
// else.
Result<> Init::Confine() {
  umask(spec_.process.user.umask.value_or(kDefaultUmask));
  if (spec_.process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return FailSys("prctl", "PR_SET_NO_NEW_PRIVS");
  }
  if (request_.seccomp.empty())
    return {};
  if (spec_.process.no_new_privileges)
    return InstallSeccomp(request_.seccomp, request_.seccomp_flags);
  CapabilitySets with_admin = plan_.capabilities;
  with_admin.permitted |= CapabilityBit(kSysAdmin);
  with_admin.effective |= CapabilityBit(kSysAdmin);
  with_admin.ambient = 0;
  TRY(SetCapabilities(with_admin));
  TRY(InstallSeccomp(request_.seccomp, request_.seccomp_flags));
  return SetCapabilities(plan_.capabilities);
}

Result<> Init::Await(SyncKind kind) {
  std::optional<SyncMessage> message = TRY(ReceiveSync(plan_.sync));
  if (!message || message->kind != kind)
    return Fail(Errc::kCancelled, "the runtime has gone");
  return {};
}

}  // namespace

void RunInit(const InitPlan& plan) {
  StartResult<> result = Init(plan).Run();
  (void)SendSyncError(plan.sync, result.error());
  _exit(result.error().exit_code);
}

}  // namespace wherry::runtime
