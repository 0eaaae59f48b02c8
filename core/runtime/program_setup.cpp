#include "core/runtime/program_setup.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/runtime/program.h"
#include "core/runtime/scheduling.h"
#include "core/runtime/seccomp.h"
#include "core/runtime/seccomp_listener.h"
#include "core/sys/process.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr uint32_t kDefaultUmask = 0022;
constexpr int kSysAdmin = 21;  // CAP_SYS_ADMIN

// Each variable once, with its last value: programs take the first.
std::vector<std::string> Unique(const std::vector<std::string>& env) {
  std::vector<std::string> unique;
  for (const std::string& entry : env) {
    std::string_view name = std::string_view(entry).substr(0, entry.find('=') + 1);
    auto same = std::ranges::find_if(
        unique, [name](const std::string& other) { return other.starts_with(name); });
    if (same == unique.end())
      unique.push_back(entry);
    else
      *same = entry;
  }
  return unique;
}

}  // namespace

// What the caller may have left behind in the process.
Result<> ProgramSetup::Reset() {
  // Nobody who shares a namespace with the container may look into this process before execve
  // (CVE-2016-9962).
  if (prctl(PR_SET_DUMPABLE, 0) < 0)
    return FailSys("prctl", "PR_SET_DUMPABLE");
  // Also what the caller inherited without the flag; all that is opened from here on has it
  // (CVE-2024-21626).
  TRY(sys::CloexecFrom(3 + request_.preserved_fds));
  umask(0);  // modes of nodes and directories are exact; the program's own mask is set at the end
  if (setsid() < 0)
    return FailSys("setsid");
  sys::ResetSignals();
  if (request_.new_keyring)
    TRY(sys::JoinSessionKeyring(Cat("_ses.", request_.container)));
  return labels_.Open(request_.process);
}

Result<> ProgramSetup::SetOomScore() {
  if (!request_.process.oom_score_adj)
    return {};
  Result<> set = WriteExisting("/proc/self/oom_score_adj", Cat(*request_.process.oom_score_adj));
  if (set || set.error().code() != Errc::kDenied)
    return set;
  return Fail(Errc::kDenied, Cat("cannot lower oom_score_adj to ", *request_.process.oom_score_adj,
                                 ": it needs CAP_SYS_RESOURCE, or a higher value"));
}

Result<> ProgramSetup::BecomeRoot() {
  return sys::BecomeNamespaceRoot(request_.process.user.keeps_groups ? sys::Groups::kKeep
                                                                     : sys::Groups::kDrop);
}

Result<> ProgramSetup::FindUser(int root) {
  identity_ = TRY(ResolveIdentity(root, request_.process));
  env_ = Unique(request_.process.env);
  if (NeedsHome(env_)) {
    std::erase(env_, "HOME=");
    env_.push_back(Cat("HOME=", identity_.home));
  }
  return {};
}

StartResult<> ProgramSetup::Become(int root, const UniqueFd& directory, const UniqueFd& console) {
  TRY(OpenStandardStreams(root, console));
  // First as root, so that a directory the user cannot enter may still be where it starts, as with
  // runc.
  bool entered = fchdir(directory.get()) == 0;
  TRY(BecomeUser());
  if (!entered)
    TRY(EnterDirectory(directory.get()));
  TRY(CheckDirectory());
  std::string program = TRY(FindProgram(request_.process.args[0], env_));
  CloseWhatIsDone();
  TRY(SendSync(request_.sync, SyncKind::kReady));
  TRY(AwaitStart());
  umask(request_.process.user.umask.value_or(kDefaultUmask));
  if (request_.before_program)
    TRY(request_.before_program(env_));
  TRY(Confine());
  return std::unexpected(Execute(program, request_.process.args, env_));
}

// A container may wait long for its start: nothing of the host stays open in its init meanwhile.
// Where the kernel cannot, close-on-exec has to do.
void ProgramSetup::CloseWhatIsDone() {
  std::vector<int> kept = {request_.sync, request_.start_socket, labels_.procfs()};
  for (int fd = 0; fd < 3 + request_.preserved_fds; ++fd)
    kept.push_back(fd);
  (void)sys::CloseAllBut(std::move(kept));
}

// As runc does: so that a program that is not root can open /dev/stdout again.
Result<> ProgramSetup::GiveToUser(int fd) {
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

Result<> ProgramSetup::OpenStandardStreams(int root, const UniqueFd& console) {
  std::array<int, 3> wanted = {request_.streams.in, request_.streams.out, request_.streams.err};
  std::array<UniqueFd, 3> sources;
  for (size_t i = 0; i < wanted.size(); ++i) {
    int fd = console ? console.get() : wanted[i];
    if (fd < 0 || IsNullDevice(fd)) {
      // Never the host's node: its mode could be changed through the descriptor.
      sources[i] = TRY(OpenContainerNull(root));
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
  if (console && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
    return FailSys("ioctl", "controlling terminal");
  return {};
}

Result<> ProgramSetup::BecomeUser() {
  if (!request_.in_user_namespace)
    TRY(SetRlimits(0, request_.process.rlimits));
  TRY(SetScheduling({request_.process, request_.personality, request_.memory_policy}));
  TRY(SwitchUser(identity_, request_.capabilities.bounding));
  CapabilitySets sets = request_.capabilities;
  if (!request_.seccomp.code.empty() && !request_.process.no_new_privileges) {
    // Loading the filter needs it; Confine takes it away again.
    sets.permitted |= CapabilityBit(kSysAdmin);
    sets.ambient = 0;
  }
  return SetCapabilities(sets);
}

StartResult<> ProgramSetup::EnterDirectory(int directory) {
  if (fchdir(directory) == 0)
    return {};
  int code = errno == EACCES || errno == ENOTDIR ? StartError::kNotExecutable : StartError::kSetup;
  Error error = Error::Sys(
      errno, Cat("chdir to cwd (\"", request_.process.cwd, "\") set in config.json failed"));
  return std::unexpected(StartError(std::move(error), code));
}

// The directory was resolved inside the root, without magic links; the check of the name catches
// what no rule foresaw (CVE-2024-21626).
Result<> ProgramSetup::CheckDirectory() {
  std::array<char, 4096> name;
  if (getcwd(name.data(), name.size()) == nullptr || name[0] != '/') {
    return Fail(Errc::kDenied, Cat("cwd \"", request_.process.cwd,
                                   "\" is outside the container's root file system"));
  }
  return {};
}

// After this only execve may follow, and the report of its failure: the filter may forbid anything
// else.
Result<> ProgramSetup::Confine() {
  TRY(labels_.Announce(request_.process));
  if (request_.process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return FailSys("prctl", "PR_SET_NO_NEW_PRIVS");
  }
  if (request_.seccomp.code.empty())
    return {};
  if (request_.process.no_new_privileges)
    return LoadFilter();
  CapabilitySets with_admin = request_.capabilities;
  with_admin.permitted |= CapabilityBit(kSysAdmin);
  with_admin.effective |= CapabilityBit(kSysAdmin);
  with_admin.ambient = 0;
  TRY(SetCapabilities(with_admin));
  TRY(LoadFilter());
  return SetCapabilities(request_.capabilities);
}

// The listener is on its way before anything is asked of whoever listens.
Result<> ProgramSetup::LoadFilter() {
  const SeccompProgram& seccomp = request_.seccomp;
  if (!seccomp.listener) {
    TRY(InstallSeccomp(seccomp.code, seccomp.flags));
    return {};
  }
  SharedListener shared = TRY(SharedListener::Create());
  TRY(SendSyncFd(request_.sync, SyncKind::kListener, shared.memory()));
  int listener =
      TRY(InstallSeccomp(seccomp.code, seccomp.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER));
  shared.Give(listener);
  return {};
}

// The connection takes the place of the socket to the runtime that has gone, for the report of a
// failure, too.
Result<> ProgramSetup::AwaitStart() {
  if (request_.start_socket >= 0) {
    TRY(Await(SyncKind::kDetached));
    UniqueFd connection;
    do {
      connection.Reset(accept4(request_.start_socket, nullptr, nullptr, SOCK_CLOEXEC));
    } while (!connection && errno == EINTR);
    if (!connection || dup3(connection.get(), request_.sync, O_CLOEXEC) < 0)
      return FailSys("accept", "start socket");
  }
  return Await(SyncKind::kGo);
}

Result<> ProgramSetup::Await(SyncKind kind) {
  std::optional<SyncMessage> message = TRY(ReceiveSync(request_.sync));
  if (!message || message->kind != kind)
    return Fail(Errc::kCancelled, "the runtime has gone");
  return {};
}

}  // namespace wherry::runtime
