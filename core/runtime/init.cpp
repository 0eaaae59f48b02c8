// The order is that of runtime.md in the specification as crun implements it, with one difference:
// pivot_root comes before the mounts, whose sources were opened as detached mounts before. So no
// path is ever resolved on the host after the container's file system has come into play, and none
// inside the container before.
#include "core/runtime/init.h"

#include <sched.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/runtime/masks.h"
#include "core/runtime/mounts.h"
#include "core/runtime/program_setup.h"
#include "core/runtime/rootfs.h"
#include "core/runtime/sync.h"
#include "core/sys/path.h"

namespace wherry::runtime {

namespace {

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
      : plan_(plan),
        request_(plan.request),
        spec_(plan.request.spec),
        program_request_{request_.id,           spec_.process,         request_.streams,
                         request_.seccomp,      plan.capabilities,     plan.sync,
                         request_.start_socket, request_.preserved_fds},
        program_(program_request_) {}

  // Returns only with an error.
  StartResult<> Run() {
    TRY(program_.Reset());
    TRY(EnterNamespaces());
    TRY(BuildFileSystem());
    return program_.Become(root_.get(), cwd_, console_slave_);
  }

 private:
  Result<> EnterNamespaces();
  Result<> BuildFileSystem();
  Result<> FillFileSystem();

  const InitPlan& plan_;
  const ContainerRequest& request_;
  const oci::RuntimeSpec& spec_;
  ProgramRequest program_request_;
  ProgramSetup program_;
  UniqueFd root_;
  UniqueFd console_slave_;
  UniqueFd cwd_;
};

Result<> Init::EnterNamespaces() {
  if (plan_.await_cgroup)
    TRY(program_.Await(SyncKind::kProceed));
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
  if (!request_.in_namespaces)
    return {};
  TRY(SendSync(plan_.sync, SyncKind::kInNamespaces));
  return program_.Await(SyncKind::kProceed);
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
    Console console = TRY(OpenConsole(mounts.Devpts(), spec_.process.console_size));
    TRY(BindConsole(root_.get(), console.slave.get()));
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
  return program_.FindUser(root_.get());
}

}  // namespace

void RunInit(const InitPlan& plan) {
  StartResult<> result = Init(plan).Run();
  (void)SendSyncError(plan.sync, result.error());
  _exit(result.error().exit_code);
}

}  // namespace wherry::runtime
