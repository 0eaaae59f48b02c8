// The order is that of runtime.md in the specification as crun implements it, with one difference:
// pivot_root comes before the mounts, whose sources were opened as detached mounts before. So no
// path is ever resolved on the host after the container's file system has come into play, and none
// inside the container before. Only hooks that want to see the mounts from the host delay it.
#include "core/runtime/init.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/runtime/masks.h"
#include "core/runtime/mounts.h"
#include "core/runtime/program_setup.h"
#include "core/runtime/rootfs.h"
#include "core/runtime/sync.h"
#include "core/sys/mount.h"
#include "core/sys/path.h"
#include "core/sys/process.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr int kCloneNewTime = 0x80;
constexpr mode_t kHookUmask = 0022;

struct JoinRow {
  oci::NamespaceType type;
  int flag;
};
constexpr JoinRow kJoinable[] = {
    {oci::NamespaceType::kNetwork, CLONE_NEWNET},   {oci::NamespaceType::kIpc, CLONE_NEWIPC},
    {oci::NamespaceType::kUts, CLONE_NEWUTS},       {oci::NamespaceType::kPid, CLONE_NEWPID},
    {oci::NamespaceType::kCgroup, CLONE_NEWCGROUP}, {oci::NamespaceType::kTime, kCloneNewTime},
};

class Init {
 public:
  explicit Init(const InitPlan& plan)
      : plan_(plan),
        request_(plan.request),
        spec_(plan.request.spec),
        program_request_{
            .container = request_.id,
            .process = spec_.process,
            .streams = request_.streams,
            .seccomp = request_.seccomp,
            .capabilities = plan.capabilities,
            .sync = plan.sync,
            .start_socket = request_.start_socket,
            .preserved_fds = request_.preserved_fds,
            .in_user_namespace = spec_.FindNamespace(oci::NamespaceType::kUser) != nullptr,
            .new_keyring = request_.new_keyring,
            .personality = spec_.personality,
            .memory_policy = spec_.memory_policy ? &*spec_.memory_policy : nullptr,
            .before_program = request_.hooks.start_container},
        program_(program_request_) {}

  // Returns only with an error.
  StartResult<> Run() {
    bool is_init = plan_.inner_flags == 0;
    if (is_init && !plan_.unprivileged)
      TRY(program_.Reset());
    if (plan_.await_runtime)
      TRY(program_.Await(SyncKind::kProceed));
    TRY(program_.SetOomScore());
    if (plan_.unprivileged)
      TRY(TakeOver());
    TRY(JoinNamespaces());
    TRY(OpenOnHost());
    if (!is_init)
      TRY(BecomeInner());
    TRY(SetUpNamespaces());
    TRY(BuildFileSystem());
    return program_.Become(root_.get(), cwd_, console_slave_);
  }

 private:
  Result<> JoinNamespaces();
  Result<> OpenOnHost();
  Result<> SetTimeOffsets();
  Result<> BecomeInner();
  Result<> TakeOver();
  Result<> SetUpNamespaces();
  Result<> BuildFileSystem();
  Result<> FillFileSystem();

  const InitPlan& plan_;
  const ContainerRequest& request_;
  const oci::RuntimeSpec& spec_;
  ProgramRequest program_request_;
  ProgramSetup program_;
  std::optional<MountPlan> mounts_;
  std::optional<DevicePlan> devices_;
  UniqueFd null_mount_;
  UniqueFd root_;
  UniqueFd console_slave_;
  UniqueFd cwd_;
};

Result<> Init::JoinNamespaces() {
  for (const JoinRow& row : kJoinable) {
    const oci::Namespace* entry = spec_.FindNamespace(row.type);
    if (entry == nullptr || entry->path.empty())
      continue;
    TRY_CTX(Cat("join ", oci::NamespaceName(row.type), " namespace"),
            sys::JoinNamespace(entry->path, row.flag));
  }
  return {};
}

// What the container's root may not be able to reach, or to do to what the host owns.
Result<> Init::OpenOnHost() {
  mounts_ = TRY(MountPlan::Open(spec_, request_.bundle, plan_.cgroup_root));
  devices_ = TRY(DevicePlan::Open(spec_));
  if (!spec_.masked_paths.empty())
    null_mount_ = TRY(CloneHostNull());
  if (spec_.FindNamespace(oci::NamespaceType::kUser) == nullptr)
    return {};
  root_ = TRY(MountRootfs(request_));
  if (!HasSysctls(spec_, SysctlsOf::kJoinedNamespaces))
    return {};
  sys::FsContext context = TRY(sys::FsContext::Open("proc"));
  UniqueFd procfs = TRY(context.Mount(0));
  return WriteSysctls(spec_, SysctlsOf::kJoinedNamespaces, procfs.get());
}

// Only children are in a new time namespace, and it must be set before there is one.
Result<> Init::SetTimeOffsets() {
  if (spec_.time_offsets.empty())
    return {};
  TRY_CTX("time namespace", sys::Unshare(kCloneNewTime));
  std::string text;
  for (const oci::TimeOffset& offset : spec_.time_offsets)
    Append(text, offset.clock, " ", offset.seconds, " ", offset.nanoseconds, "\n");
  return WriteExisting("/proc/self/timens_offsets", text);
}

// Goes on in a clone that is in all of the container's namespaces, as a sibling, so that the
// runtime is its parent. All that has been opened is its, too.
Result<> Init::BecomeInner() {
  TRY(SetTimeOffsets());
  const oci::Namespace* user = spec_.FindNamespace(oci::NamespaceType::kUser);
  if (user != nullptr && !user->path.empty())
    TRY_CTX("join user namespace", sys::JoinNamespace(user->path, CLONE_NEWUSER));
  sys::Cloned inner = TRY_CTX("create namespaces", sys::Clone(plan_.inner_flags, -1));
  if (!inner.in_child) {
    const sys::PidFd& process = inner.child.process();
    Result<> sent = SendSyncFd(plan_.sync, SyncKind::kInit, process.fd(), Cat(process.pid()));
    _exit(sent ? 0 : StartError::kSetup);
  }
  TRY(program_.Await(SyncKind::kProceed));
  return TakeOver();
}

// Only when its ids are written: whoever is nothing outside has to be let look at this process
// until then.
Result<> Init::TakeOver() {
  if (spec_.FindNamespace(oci::NamespaceType::kUser) != nullptr)
    TRY(program_.BecomeRoot());
  return program_.Reset();
}

Result<> Init::SetUpNamespaces() {
  // Only now: the root of a cgroup namespace is the cgroup its creator is in, and clone3 would take
  // the parent's.
  if (spec_.MakesNamespace(oci::NamespaceType::kCgroup))
    TRY_CTX("cgroup namespace", sys::Unshare(CLONE_NEWCGROUP));
  if (!spec_.hostname.empty() && sethostname(spec_.hostname.data(), spec_.hostname.size()) < 0) {
    return FailSys("sethostname", spec_.hostname);
  }
  if (!spec_.domainname.empty() &&
      setdomainname(spec_.domainname.data(), spec_.domainname.size()) < 0) {
    return FailSys("setdomainname", spec_.domainname);
  }
  if (spec_.MakesNamespace(oci::NamespaceType::kNetwork))
    TRY(sys::BringLoopbackUp());
  if (!request_.hooks.in_namespaces && spec_.net_devices.empty())
    return {};
  TRY(SendSync(plan_.sync, SyncKind::kInNamespaces));
  return program_.Await(SyncKind::kProceed);
}

Result<> Init::BuildFileSystem() {
  TRY(mounts_->OpenInside());
  int procfs = -1;
  if (!spec_.sysctl.empty() || !sys::HasMountSetattr())
    procfs = TRY(mounts_->Procfs());
  TRY(WriteSysctls(spec_, SysctlsOf::kNewNamespaces, procfs));
  if (!root_) {
    TRY(WriteSysctls(spec_, SysctlsOf::kJoinedNamespaces, procfs));
    root_ = TRY(MountRootfs(request_));
  }
  // From here on inside.
  bool host_sees_mounts = !spec_.hooks.create_container.empty();
  if (host_sees_mounts)
    TRY(ShowRootfs(root_.get(), spec_, request_.bundle));
  else
    TRY(EnterRootfs(root_.get(), request_));
  TRY(mounts_->Attach(root_.get()));
  if (!mounts_->DevIsBound())
    TRY(devices_->Create(root_.get()));
  if (spec_.process.terminal) {
    Console console = TRY(OpenConsole(mounts_->Devpts(), spec_.process.console_size));
    TRY(BindConsole(root_.get(), console.slave.get()));
    TRY(SendSyncFd(plan_.sync, SyncKind::kConsole, console.master.get()));
    console_slave_ = std::move(console.slave);
  }
  TRY(MaskPaths(root_.get(), std::move(null_mount_), spec_, procfs));
  TRY(MakePathsReadonly(root_.get(), spec_, procfs));
  TRY(FillFileSystem());
  TRY(mounts_->Seal());
  if (host_sees_mounts) {
    umask(kHookUmask);
    TRY(request_.hooks.create_container());
    umask(0);
    TRY(EnterRootfs(root_.get(), request_));
  }
  return SealRootfs(root_.get(), spec_, procfs);
}

// What has to be found or made inside the finished tree while it is still writable.
Result<> Init::FillFileSystem() {
  cwd_ = TRY_CTX("working directory", sys::OpenOrCreateInRoot(root_.get(), spec_.process.cwd,
                                                              sys::CreateAs::kDirectory));
  return program_.FindUser(root_.get());
}

}  // namespace

void RunInit(const InitPlan& plan) {
  StartResult<> result = Init(plan).Run();
  (void)SendSyncError(plan.sync, result.error());
  _exit(result.error().exit_code);
}

}  // namespace wherry::runtime
