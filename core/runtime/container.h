// Building a container: from an OCI runtime configuration to a process that waits right before its
// execve. OCI runtime-spec v1.2 (runtime.md, config-linux.md). cgroup v2 only.
//
// For single-threaded processes (the launcher, wherry-runtime): the container's init is a clone of
// the caller that runs ordinary code until its execve. What happens in which order is in
// core/runtime/init.cpp. Nothing is left behind by a failure: the child is killed and reaped, its
// mounts die with its namespace, the cgroup is removed.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/cgroup.h"
#include "core/sys/mount.h"
#include "core/sys/process.h"

namespace wherry::runtime {

// Why a container did not start, with the exit code docker and podman give for it.
struct StartError {
  static constexpr int kSetup = 125;          // the engine could not build the container
  static constexpr int kNotExecutable = 126;  // exec: "/etc": is a directory
  static constexpr int kNotFound = 127;       // exec: "foo": executable file not found in $PATH

  // Implicit, because TRY passes an Error upward. NOLINTNEXTLINE(google-explicit-constructor)
  StartError(Error cause, int code = kSetup) : exit_code(code), error(std::move(cause)) {}

  int exit_code;
  Error error;
};
template <class T = void>
using StartResult = std::expected<T, StartError>;

// Descriptors of the program (borrowed); -1 is /dev/null. Not used with a terminal.
struct StandardStreams {
  int in = -1;
  int out = -1;
  int err = -1;
};

// Loaded before execve; empty: no filter. `flags`: SECCOMP_FILTER_FLAG_*.
struct SeccompProgram {
  std::span<const sock_filter> code;
  uint32_t flags = 0;
  bool listener = false;  // Start gives one to its caller
};
// Takes a copy of the listener (borrowed) to where it belongs.
using ListenerTaker = std::function<Result<>(int listener)>;

// The hooks of a specification are the caller's to run; needed by one that has any.
struct HookRunners {
  // With init's pid, when init is in its namespaces and before it mounts anything.
  std::function<Result<>(pid_t)> in_namespaces;
  // Called in init, which is a clone of the caller: when everything is mounted and the root is
  // still the host's; and inside, right before the program is executed, with its environment.
  std::function<Result<>()> create_container;
  std::function<Result<>(const std::vector<std::string>& environment)> start_container;
};

struct ContainerRequest {
  std::string id;                // [A-Za-z0-9_+.-]+
  const oci::RuntimeSpec& spec;  // must live until Prepare returns
  std::string bundle;            // absolute directory; a relative root.path starts here
  // The root file system as an overlay; absent: spec.root_path.
  std::optional<sys::OverlayOptions> overlay;
  StandardStreams streams;
  // The container's cgroup below the cgroup2 mount, "/wherry/c/<id>"; created, and removed if the
  // start fails. Empty: the caller's own cgroup, and limits in the specification are an error.
  std::string cgroup;
  // In its place: puts a process into a cgroup that somebody else makes and removes when it is
  // empty (systemd), and gives its path.
  std::function<Result<std::string>(pid_t)> enter_cgroup = {};
  SeccompProgram seccomp = {};
  // The descriptors from 3 on that the program inherits beside its streams.
  int preserved_fds = 0;
  // A listening SOCK_SEQPACKET socket (borrowed) where init waits for its start once it is detached
  // (Prepared::Detach); -1: it cannot be.
  int start_socket = -1;
  bool new_keyring = true;  // a session keyring of the container's own
  bool pivot = true;        // false: for a root that cannot be left by pivot_root, an initramfs
  HookRunners hooks = {};
};

struct ExecRequest;  // core/runtime/exec.h
struct SyncMessage;  // core/runtime/sync.h

// A container that is complete but for its execve, or a process that is about to join one. The
// destructor of one that was not started kills and reaps it and removes the cgroup that was made
// for it.
class Prepared {
 public:
  Prepared(Prepared&&) noexcept;
  Prepared& operator=(Prepared&&) noexcept;
  ~Prepared();

  pid_t pid() const { return pid_; }                   // in the caller's pid namespace
  uint64_t start_time() const { return start_time_; }  // sys::ProcessStartTime
  // The pty master with process.terminal (empty otherwise); ownership passes on.
  UniqueFd TakeConsole() { return std::move(console_); }
  // The container's cgroup, until it is started; null without one.
  const Cgroup* cgroup() const { return cgroup_ ? &*cgroup_ : nullptr; }

  // Lets init execute the program. Blocks until execve has succeeded (then the container is no
  // longer tied to this object) or failed (then everything has been removed). `take_listener` is
  // needed with SeccompProgram::listener. Call once.
  StartResult<> Start(const ListenerTaker& take_listener = {});
  // Lets go of a container with a start socket: its init waits there, and whoever built it may end.
  // Should the caller die before, init dies too. Gives the process.
  Result<sys::PidFd> Detach();
  // A detached container, by a connection to its start socket, for Start. `init` need not be a
  // child of the caller.
  static Prepared Attach(UniqueFd connection, sys::PidFd init);
  // After a successful Start: the running init, to be waited for by the caller.
  sys::PidFd TakeProcess() { return std::move(started_); }

 private:
  friend StartResult<Prepared> Prepare(const ContainerRequest& request);
  friend StartResult<Prepared> PrepareExec(const ExecRequest& request);
  Prepared() = default;
  Result<bool> AwaitMessage();
  Result<> TakeInit(SyncMessage& message);
  StartResult<> AwaitInner(const ContainerRequest& request);
  StartResult<> AwaitReady(const std::function<Result<>(pid_t)>& in_namespaces);
  StartResult<> AwaitStarted(const ListenerTaker& take_listener);
  Result<> PassListener(UniqueFd memory, const ListenerTaker& take_listener);
  void Discard();

  sys::Child child_;  // until it has been started
  sys::PidFd started_;
  UniqueFd sync_;
  UniqueFd console_;
  std::optional<Cgroup> cgroup_;
  bool removes_cgroup_ = true;  // else it is only cleared
  pid_t pid_ = -1;
  uint64_t start_time_ = 0;
};

// Builds the container. Blocks until its init is ready for execve.
StartResult<Prepared> Prepare(const ContainerRequest& request);

}  // namespace wherry::runtime
