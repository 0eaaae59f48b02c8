// Two clones. The first is invisible to the container: it closes what is the host's and joins all
// namespaces. The second is the first one's sibling and in the container's pid namespace from its
// first moment on, and then has no way to the host by its root, its directory or a descriptor:
// not being dumpable does not hold against a container with CAP_SYS_PTRACE.
#include "core/runtime/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/runtime/program_setup.h"
#include "core/runtime/scheduling.h"
#include "core/runtime/security_label.h"
#include "core/sys/cgroup.h"
#include "core/sys/path.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

struct NamespaceRow {
  oci::NamespaceType type;
  int flag;
};
constexpr NamespaceRow kNamespaces[] = {
    {oci::NamespaceType::kUser, CLONE_NEWUSER},
    {oci::NamespaceType::kMount, CLONE_NEWNS},
    {oci::NamespaceType::kPid, CLONE_NEWPID},
    {oci::NamespaceType::kNetwork, CLONE_NEWNET},
    {oci::NamespaceType::kIpc, CLONE_NEWIPC},
    {oci::NamespaceType::kUts, CLONE_NEWUTS},
    {oci::NamespaceType::kCgroup, CLONE_NEWCGROUP},
    {oci::NamespaceType::kTime, 0x80 /* CLONE_NEWTIME */},
};

bool Has(const std::vector<oci::Namespace>& namespaces, oci::NamespaceType type) {
  return std::ranges::find(namespaces, type, &oci::Namespace::type) != namespaces.end();
}

struct ExecPlan {
  const ExecRequest& request;
  CapabilitySets capabilities;
  int sync = -1;
  bool await_cgroup = false;
};

class Joiner {
 public:
  explicit Joiner(const ExecPlan& plan)
      : plan_(plan),
        request_(plan.request),
        program_request_{.container = request_.container,
                         .process = request_.process,
                         .streams = request_.streams,
                         .seccomp = request_.seccomp,
                         .capabilities = plan.capabilities,
                         .sync = plan.sync,
                         .preserved_fds = request_.preserved_fds,
                         .in_user_namespace = Has(request_.namespaces, oci::NamespaceType::kUser),
                         .new_keyring = request_.new_keyring,
                         .personality = request_.personality,
                         .memory_policy = request_.memory_policy},
        program_(program_request_) {}

  // Returns only with an error.
  StartResult<> Run() {
    TRY(program_.Reset());
    if (plan_.await_cgroup)
      TRY(program_.Await(SyncKind::kProceed));
    TRY(program_.SetOomScore());
    TRY(SetAffinity(request_.process.exec_affinity.final, "process.execCPUAffinity.final"));
    TRY(CloseHosts());
    TRY_CTX("join the container's namespaces", sys::JoinNamespacesOf(request_.init, JoinedTypes()));
    TRY(BecomeInner());
    if (program_request_.in_user_namespace)
      TRY(program_.BecomeRoot());
    UniqueFd root = TRY(OpenDir("/"));
    UniqueFd console = TRY(MakeConsole(root.get()));
    UniqueFd directory = TRY(OpenDirectory(root.get()));
    TRY(program_.FindUser(root.get()));
    return program_.Become(root.get(), directory, console);
  }

 private:
  Result<> CloseHosts();
  Result<> BecomeInner();
  int JoinedTypes() const {
    int types = 0;
    for (const NamespaceRow& row : kNamespaces)
      types |= Has(request_.namespaces, row.type) ? row.flag : 0;
    return types;
  }
  Result<UniqueFd> MakeConsole(int root);
  StartResult<UniqueFd> OpenDirectory(int root);

  const ExecPlan& plan_;
  const ExecRequest& request_;
  ProgramRequest program_request_;
  ProgramSetup program_;
};

Result<> Joiner::CloseHosts() {
  std::vector<int> kept = {plan_.sync,           request_.init.fd(),   request_.streams.in,
                           request_.streams.out, request_.streams.err, program_.procfs()};
  for (int fd = 0; fd < 3 + request_.preserved_fds; ++fd)
    kept.push_back(fd);
  return sys::CloseAllBut(std::move(kept));
}

// Returns in the clone.
Result<> Joiner::BecomeInner() {
  sys::Cloned inner = TRY_CTX("start a process in the container", sys::Clone(CLONE_PARENT, -1));
  if (!inner.in_child) {
    sys::PidFd process = inner.child.Release();
    TRY(SendSyncFd(plan_.sync, SyncKind::kInit, process.fd(), Cat(process.pid())));
    _exit(0);
  }
  if (setsid() < 0)
    return FailSys("setsid");
  return {};
}

// Empty without a terminal. What the container may have put at /dev/pts is not trusted:
// OpenConsole looks whether what it opens is a pty.
Result<UniqueFd> Joiner::MakeConsole(int root) {
  if (!request_.process.terminal)
    return UniqueFd();
  UniqueFd devpts = TRY_CTX("terminal", sys::OpenInRoot(root, "/dev/pts", O_PATH | O_DIRECTORY));
  Console console = TRY_CTX("terminal", OpenConsole(devpts.get(), request_.process.console_size));
  TRY(SendSyncFd(plan_.sync, SyncKind::kConsole, console.master.get()));
  return std::move(console.slave);
}

StartResult<UniqueFd> Joiner::OpenDirectory(int root) {
  Result<UniqueFd> directory = sys::OpenInRoot(root, request_.process.cwd, O_PATH | O_DIRECTORY);
  if (directory)
    return std::move(*directory);
  // With docker, a working directory that does not exist is a command that does not exist.
  int code = directory.error().code() == Errc::kNotFound ? StartError::kNotFound
                                                         : StartError::kNotExecutable;
  return std::unexpected(
      StartError(std::move(directory).error().Wrap(Cat("chdir to cwd (\"", request_.process.cwd,
                                                       "\") set in config.json failed")),
                 code));
}

// The cgroup to start in. Where the container has made cgroups inside its own, no process may be in
// that one any more; then init's is taken.
Result<sys::Cloned> CloneInto(const ExecRequest& request, UniqueFd& group) {
  if (request.cgroup.empty())
    return sys::Clone(0, -1);
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  group = TRY_CTX("the process's cgroup",
                  Open(Cat(host.mount, request.cgroup), O_RDONLY | O_DIRECTORY));
  Result<sys::Cloned> cloned = sys::Clone(0, group.get());
  if (!cloned && cloned.error().error_number() == EACCES) {
    return Fail(Errc::kDenied,
                Cat("the caller's cgroup may not be left for ", request.cgroup,
                    ": without root, call from one that is the user's too (systemd-run --user)"));
  }
  bool inner = !cloned && (cloned.error().code() == Errc::kBusy ||
                           cloned.error().code() == Errc::kUnsupported);
  if (!inner || request.exact_cgroup)
    return cloned;
  std::string current = TRY(sys::CgroupOf(request.init.pid()));
  group = TRY_CTX("the cgroup of the container's init",
                  Open(Cat(host.mount, current), O_RDONLY | O_DIRECTORY));
  return sys::Clone(0, group.get());
}

}  // namespace

StartResult<Prepared> PrepareExec(const ExecRequest& request) {
  if (request.process.args.empty())
    return std::unexpected(StartError(Error(Errc::kInvalid, "no program is given")));
  ExecPlan plan{request, {}, -1, false};
  plan.capabilities = TRY(ParseCapabilitySets(request.process));
  TRY(CheckLabels(request.process, ""));
  TRY(SetAffinity(request.process.exec_affinity.initial, "process.execCPUAffinity.initial"));
  // Inherited by both clones.
  if (prctl(PR_SET_DUMPABLE, 0) < 0)
    return std::unexpected(StartError(Error::Sys(errno, "prctl PR_SET_DUMPABLE")));
  bool user = Has(request.namespaces, oci::NamespaceType::kUser);
  if (user && geteuid() == 0) {
    std::optional<Owner> root = TRY(NamespaceRoot(request.init.pid()));
    if (root)
      TRY(GivePipes(request.streams, *root));
  }
  Prepared prepared;
  SyncPair sync = TRY(MakeSyncPair());
  UniqueFd group;
  sys::Cloned cloned = TRY_CTX("start a process in the container", CloneInto(request, group));
  if (cloned.in_child) {
    sync.runtime.Reset();  // so that the runtime's death is seen
    plan.sync = sync.init.get();
    plan.await_cgroup = !cloned.joined_cgroup;
    StartResult<> result = Joiner(plan).Run();
    (void)SendSyncError(plan.sync, result.error());
    _exit(result.error().exit_code);
  }
  sync.init.Reset();
  prepared.sync_ = std::move(sync.runtime);
  prepared.child_ = std::move(cloned.child);
  if (!cloned.joined_cgroup) {
    TRY(WriteExistingAt(group.get(), "cgroup.procs", Cat(prepared.child_.pid())));
    TRY(SendSync(prepared.sync_.get(), SyncKind::kProceed));
  }
  TRY(prepared.AwaitReady({}));
  prepared.start_time_ = TRY(sys::ProcessStartTime(prepared.pid_));
  if (user)
    TRY(SetRlimits(prepared.pid_, request.process.rlimits));
  return prepared;
}

}  // namespace wherry::runtime
