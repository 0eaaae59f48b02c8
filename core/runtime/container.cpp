#include "core/runtime/container.h"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/text.h"
#include "core/runtime/identity.h"
#include "core/runtime/init.h"
#include "core/runtime/masks.h"
#include "core/runtime/net_devices.h"
#include "core/runtime/seccomp_listener.h"
#include "core/runtime/security_label.h"
#include "core/runtime/sync.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr uint64_t kCloneNewTime = 0x80;

struct NamespaceRow {
  oci::NamespaceType type;
  uint64_t clone_flag;  // 0: made later by init
};
constexpr NamespaceRow kNamespaces[] = {
    {oci::NamespaceType::kUser, CLONE_NEWUSER}, {oci::NamespaceType::kMount, CLONE_NEWNS},
    {oci::NamespaceType::kPid, CLONE_NEWPID},   {oci::NamespaceType::kNetwork, CLONE_NEWNET},
    {oci::NamespaceType::kIpc, CLONE_NEWIPC},   {oci::NamespaceType::kUts, CLONE_NEWUTS},
    {oci::NamespaceType::kCgroup, 0},           {oci::NamespaceType::kTime, kCloneNewTime},
};

struct CloneFlags {
  uint64_t first = 0;
  uint64_t inner = 0;  // 0: one clone is enough
};

// One clone makes all namespaces where it can. A second one is needed where a process can only
// enter by being made there (pid namespaces that exist, time namespaces with offsets), and with a
// user namespace: the first clone opens what is the host's, the second one has its namespaces owned
// by it (user_namespaces(7)).
Result<CloneFlags> PlanClones(const oci::RuntimeSpec& spec) {
  uint64_t flags = 0;
  for (const NamespaceRow& row : kNamespaces)
    flags |= spec.MakesNamespace(row.type) ? row.clone_flag : 0;
  if (!spec.MakesNamespace(oci::NamespaceType::kMount))
    return Fail(Errc::kUnsupported, "joining an existing mount namespace is not supported");
  bool user = spec.FindNamespace(oci::NamespaceType::kUser) != nullptr;
  const oci::Namespace* pid = spec.FindNamespace(oci::NamespaceType::kPid);
  bool joins_pid = pid != nullptr && !pid->path.empty();
  bool one_by_one = joins_pid || !spec.time_offsets.empty();
  if (geteuid() != 0 && !spec.MakesNamespace(oci::NamespaceType::kUser))
    return Fail(Errc::kUnsupported, "without root a container needs a new user namespace");
  if (geteuid() != 0 && !one_by_one)
    return CloneFlags{flags, 0};
  if (!user && !one_by_one)
    return CloneFlags{flags, 0};
  if (geteuid() != 0)
    return Fail(Errc::kUnsupported,
                "joining a pid namespace, and offsets of clocks, are not supported without root");
  if (!spec.time_offsets.empty())
    flags &= ~uint64_t{kCloneNewTime};
  if (!user)
    flags &= ~uint64_t{CLONE_NEWNS};
  return CloneFlags{CLONE_NEWNS, flags | CLONE_PARENT};
}

bool AsksForLimits(const oci::LinuxResources& resources) {
  const oci::Memory& memory = resources.memory;
  const oci::Cpu& cpu = resources.cpu;
  const oci::BlockIo& io = resources.block_io;
  return memory.limit || memory.reservation || memory.swap || cpu.shares || cpu.quota ||
         cpu.burst || cpu.period || cpu.idle || !cpu.cpus.empty() || !cpu.mems.empty() ||
         resources.pids_limit || io.weight || !io.device_weights.empty() || !io.read_bps.empty() ||
         !io.write_bps.empty() || !io.read_iops.empty() || !io.write_iops.empty() ||
         !resources.hugepage_limits.empty() || !resources.rdma.empty() ||
         !resources.unified.empty();
}

Result<> CheckRequest(const ContainerRequest& request) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
  const std::string& id = request.id;
  if (id.empty() || id[0] == '.' || id.find_first_not_of(kAllowed) != std::string::npos) {
    return Fail(Errc::kInvalid,
                Cat("container id \"", id, "\" may only have letters, digits and _+-."));
  }
  if (!request.bundle.starts_with('/'))
    return Fail(Errc::kInvalid, Cat("bundle ", request.bundle, " is not an absolute path"));
  if (!request.spec.hooks.empty() && !request.hooks.in_namespaces)
    return Fail(Errc::kUnsupported, "hooks are not supported here");
  if (!request.spec.net_devices.empty() && (geteuid() != 0 || sys::InUserNamespace()))
    return Fail(Errc::kUnsupported, "linux.netDevices are not supported without root");
  if (request.spec.process.args.empty())
    return Fail(Errc::kInvalid, "no program is given");
  if (request.spec.MakesNamespace(oci::NamespaceType::kUser) && request.spec.uid_mappings.empty())
    return Fail(Errc::kInvalid, "a new user namespace needs linux.uidMappings and gidMappings");
  if (request.cgroup.empty() && !request.enter_cgroup && AsksForLimits(request.spec.resources)) {
    return Fail(Errc::kInvalid, "limits need a cgroup of the container's own");
  }
  TRY(CheckLabels(request.spec.process, request.spec.mount_label));
  return CheckSysctls(request.spec);
}

// A cgroup that the container sees as the root of its own hierarchy and may write to
// (config-linux.md "Cgroup ownership").
bool ManagesCgroup(const oci::RuntimeSpec& spec) {
  return spec.MakesNamespace(oci::NamespaceType::kCgroup) &&
         std::ranges::any_of(spec.mounts, [](const oci::Mount& mount) {
           return mount.type.starts_with("cgroup") &&
                  std::ranges::find(mount.options, "ro") == mount.options.end();
         });
}

// What init said before it could get ready, or what became of it.
StartError InitFailure(const std::optional<SyncMessage>& message, const sys::Child& child) {
  if (message && message->kind == SyncKind::kError) {
    return StartError(Error(message->errc, message->text), message->exit_code);
  }
  if (message)
    return StartError(Error(Errc::kInternal, "unexpected message from the container's init"));
  Result<sys::ExitStatus> status = child.process().Wait();
  if (status && status->signal != 0) {
    return StartError(
        Error(Errc::kNoSpace, Cat("the container's init was killed by signal ", status->signal,
                                  " while it was set up; is the memory limit too low?")));
  }
  return StartError(Error(Errc::kInternal, "the container's init ended while it was set up"));
}

}  // namespace

// An optional keeps its (emptied) value when moved from: the cgroup has to be reset, or it would be
// removed.
Prepared::Prepared(Prepared&& other) noexcept {
  *this = std::move(other);
}

Prepared& Prepared::operator=(Prepared&& other) noexcept {
  if (this == &other)
    return *this;
  Discard();
  child_ = std::move(other.child_);
  started_ = std::move(other.started_);
  sync_ = std::move(other.sync_);
  console_ = std::move(other.console_);
  cgroup_ = std::move(other.cgroup_);
  other.cgroup_.reset();
  removes_cgroup_ = other.removes_cgroup_;
  pid_ = other.pid_;
  start_time_ = other.start_time_;
  return *this;
}

Prepared::~Prepared() {
  Discard();
}

// The cgroup goes with the container until the program runs; then it is somebody else's.
void Prepared::Discard() {
  child_.KillAndReap();
  if (cgroup_)
    (void)(removes_cgroup_ ? cgroup_->Remove() : cgroup_->Clear());
  cgroup_.reset();
}

StartResult<> Prepared::Start(const ListenerTaker& take_listener) {
  StartResult<> started = AwaitStarted(take_listener);
  if (!started) {
    Discard();
    return started;
  }
  sync_.Reset();
  started_ = child_.Release();
  cgroup_.reset();  // the running container's now
  return {};
}

// The end of the connection is execve's success.
StartResult<> Prepared::AwaitStarted(const ListenerTaker& take_listener) {
  Result<> sent = SendSync(sync_.get(), SyncKind::kGo);
  Result<std::optional<SyncMessage>> message = ReceiveSync(sync_.get());
  if (sent && message && *message && (*message)->kind == SyncKind::kListener && take_listener) {
    TRY_CTX("seccomp listener", PassListener(std::move((*message)->fd), take_listener));
    message = ReceiveSync(sync_.get());
  }
  if (sent && message && !*message)
    return {};
  std::optional<SyncMessage> said;
  if (message)
    said = std::move(*message);
  return std::unexpected(InitFailure(said, child_));
}

Result<> Prepared::PassListener(UniqueFd memory, const ListenerTaker& take_listener) {
  SharedListener shared = TRY(SharedListener::Open(std::move(memory)));
  UniqueFd listener = TRY(shared.Take(child_.process(), sync_.get()));
  if (!listener)
    return {};
  TRY(take_listener(listener.get()));
  shared.Release();
  return {};
}

Result<sys::PidFd> Prepared::Detach() {
  TRY(SendSync(sync_.get(), SyncKind::kDetached));
  sync_.Reset();
  cgroup_.reset();
  return child_.Release();
}

Prepared Prepared::Attach(UniqueFd connection, sys::PidFd init) {
  Prepared prepared;
  prepared.sync_ = std::move(connection);
  prepared.pid_ = init.pid();
  prepared.child_ = sys::Child(std::move(init));
  return prepared;
}

StartResult<Prepared> Prepare(const ContainerRequest& request) {
  TRY(CheckRequest(request));
  CloneFlags flags = TRY(PlanClones(request.spec));
  InitPlan plan{request, {}, -1, false, "/sys/fs/cgroup", flags.inner, geteuid() != 0};
  plan.capabilities = TRY(ParseCapabilitySets(request.spec.process));

  Prepared prepared;
  sys::CgroupHost host;
  if (!request.cgroup.empty() || request.enter_cgroup) {
    host = TRY(sys::FindCgroupHost());
    plan.cgroup_root = host.mount;
  }
  if (!request.cgroup.empty())
    prepared.cgroup_ = TRY(Cgroup::Create(host, request.cgroup));
  SyncPair sync = TRY(MakeSyncPair());
  sys::Cloned cloned = TRY_CTX(
      "create namespaces", sys::Clone(flags.first, prepared.cgroup_ ? prepared.cgroup_->fd() : -1));
  if (cloned.in_child) {
    sync.runtime.Reset();  // so that the runtime's death is seen
    plan.sync = sync.init.get();
    plan.await_runtime = !cloned.joined_cgroup || plan.unprivileged || request.enter_cgroup;
    RunInit(plan);
  }
  sync.init.Reset();
  prepared.sync_ = std::move(sync.runtime);
  prepared.child_ = std::move(cloned.child);
  prepared.pid_ = prepared.child_.pid();
  if (request.enter_cgroup) {
    std::string path = TRY(request.enter_cgroup(prepared.pid_));
    prepared.cgroup_ = TRY(Cgroup::Open(host, std::move(path)));
    prepared.removes_cgroup_ = false;
  } else if (prepared.cgroup_ && !cloned.joined_cgroup) {
    TRY(prepared.cgroup_->AddProcess(prepared.pid_));
  }
  const oci::RuntimeSpec& spec = request.spec;
  if (plan.unprivileged)
    TRY_CTX("user namespace",
            sys::WriteIdMaps(prepared.pid_, {spec.uid_mappings, spec.gid_mappings}));
  if (!cloned.joined_cgroup || plan.unprivileged || request.enter_cgroup)
    TRY(SendSync(prepared.sync_.get(), SyncKind::kProceed));
  // While init is at work: loading the device program takes the kernel a third of a millisecond.
  // In a user namespace there are only those of the host, with the rights they have there.
  if (prepared.cgroup_ && !plan.unprivileged && !sys::InUserNamespace())
    TRY(prepared.cgroup_->SetDevices(request.spec.resources));
  if (flags.inner != 0)
    TRY(prepared.AwaitInner(request));
  prepared.start_time_ = TRY(sys::ProcessStartTime(prepared.child_.pid()));
  TRY(prepared.AwaitReady([&request](pid_t pid) -> Result<> {
    TRY(MoveNetDevices(request.spec.net_devices, pid));
    return request.hooks.in_namespaces ? request.hooks.in_namespaces(pid) : Result<>();
  }));
  if (request.spec.FindNamespace(oci::NamespaceType::kUser) != nullptr)
    TRY(SetRlimits(prepared.pid_, request.spec.process.rlimits));
  // Last, so that building the container needs no more memory than its program.
  if (prepared.cgroup_)
    TRY(prepared.cgroup_->SetLimits(request.spec.resources));
  return prepared;
}

// Whether a message comes; not when the clone has ended before it told of the process it made.
Result<bool> Prepared::AwaitMessage() {
  std::array<pollfd, 2> either = {{{sync_.get(), POLLIN, 0}, {child_.process().fd(), POLLIN, 0}}};
  while (poll(either.data(), either.size(), -1) < 0) {
    if (errno != EINTR)
      return FailSys("poll");
  }
  return either[0].revents != 0;
}

// The process that the clone has made takes its place, and the clone is reaped.
Result<> Prepared::TakeInit(SyncMessage& message) {
  pid_ = static_cast<pid_t>(TRY(ParseUint(message.text)));
  child_ = sys::Child(sys::PidFd(pid_, std::move(message.fd)));
  return {};
}

// Init is a clone of the clone, and waits for its ids.
StartResult<> Prepared::AwaitInner(const ContainerRequest& request) {
  std::optional<SyncMessage> message;
  bool comes = TRY(AwaitMessage());
  if (comes)
    message = TRY(ReceiveSync(sync_.get()));
  if (!message || message->kind != SyncKind::kInit)
    return std::unexpected(InitFailure(message, child_));
  TRY(TakeInit(*message));
  const oci::RuntimeSpec& spec = request.spec;
  if (spec.MakesNamespace(oci::NamespaceType::kUser))
    TRY_CTX("user namespace", sys::WriteIdMaps(pid_, {spec.uid_mappings, spec.gid_mappings}));
  if (spec.FindNamespace(oci::NamespaceType::kUser) != nullptr) {
    std::optional<Owner> root = TRY(NamespaceRoot(pid_));
    if (root)
      TRY(GivePipes(request.streams, *root));
    if (root && cgroup_ && ManagesCgroup(spec))
      TRY(cgroup_->Delegate(root->uid, root->gid));
  }
  TRY(SendSync(sync_.get(), SyncKind::kProceed));
  return {};
}

StartResult<> Prepared::AwaitReady(const std::function<Result<>(pid_t)>& in_namespaces) {
  // What the clone tells and what the process it made tells come in any order.
  for (bool ready = false; !ready || pid_ < 0;) {
    std::optional<SyncMessage> message;
    bool comes = pid_ > 0 || TRY(AwaitMessage());
    if (comes)
      message = TRY(ReceiveSync(sync_.get()));
    if (message && message->kind == SyncKind::kInit) {
      TRY(TakeInit(*message));
    } else if (message && message->kind == SyncKind::kConsole) {
      console_ = std::move(message->fd);
    } else if (message && message->kind == SyncKind::kInNamespaces && in_namespaces) {
      TRY(in_namespaces(pid_));
      TRY(SendSync(sync_.get(), SyncKind::kProceed));
    } else if (message && message->kind == SyncKind::kReady) {
      ready = true;
    } else {
      return std::unexpected(InitFailure(message, child_));
    }
  }
  return {};
}

}  // namespace wherry::runtime
