// What wherry-runtime knows of a container between two of its command lines: a directory
// <root>/<id> (0700, on a tmpfs) with state.json, the config.json the container was created from,
// and, until it is started, the socket its init waits at. All files are reached by the directory's
// descriptor and replaced whole.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/command.h"
#include "core/runtime/cgroup.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

enum class Status : uint8_t { kCreating, kCreated, kRunning, kPaused, kStopped };
// "created": the specification's word.
std::string_view StatusName(Status status);
// Whose containers these are: "root", or the caller's number.
std::string OwnerName();

// state.json.
struct State {
  std::string id;
  std::string oci_version;
  pid_t pid = 0;            // 0: there is none yet
  uint64_t start_time = 0;  // sys::ProcessStartTime: a pid that was given again is another process
  std::string bundle;
  std::string rootfs;
  std::string cgroup;   // below the cgroup2 mount
  std::string unit;     // systemd's scope that the cgroup is; "": the runtime has made it
  int64_t created = 0;  // UnixNanosNow
  bool new_keyring = true;
  std::map<std::string, std::string> annotations;
};

// The cgroup for `linux.cgroupsPath`: as the specification leaves to the runtime, a relative path,
// or none, is below our own parent.
std::string CgroupPath(const std::string& wanted, const std::string& id);

// kInvalid unless `id` has the form runc and crun ask for, which cannot leave a directory.
Result<> CheckId(const std::string& id);

class StateDir {
 public:
  // Makes and locks it. REQUIRES: CheckId. kExists when there is one.
  static Result<StateDir> Create(const std::string& root, const std::string& id);
  // kNotFound: container "x" does not exist.
  static Result<StateDir> Open(const std::string& root, const std::string& id);
  static Result<std::vector<std::string>> Ids(const std::string& root);

  // For what changes the container's life; waits for the others, kNotFound when it has gone
  // meanwhile. Until the object's end; a clone of the process holds it as well.
  Result<> Lock();
  // For the clones, too.
  void Unlock();
  Result<> Save(const State& state);
  // Without a state.json (create is at work or died): the id and nothing else. kCorrupt when it is
  // damaged.
  Result<State> Load() const;
  // What is known without it: the id, and the cgroup or the scope by config.json.
  State Guess(CgroupManager manager) const;
  Result<> SaveConfig(std::string_view json);
  Result<oci::RuntimeSpec> LoadConfig() const;
  Result<> Remove();

  // The start socket (SOCK_SEQPACKET).
  Result<UniqueFd> Listen();
  // Takes the socket away, so that nobody else can start.
  Result<UniqueFd> Connect();
  bool HasSocket() const;

  // For the socket of sd_notify: a directory for the container to see. Gives its path, because what
  // is mounted has to be of the mount namespace in which that is done.
  Result<std::string> MakeNotifyDir();
  bool HasNotifyDir() const;
  // The socket in it (SOCK_DGRAM), which anybody who sees it may write to.
  Result<UniqueFd> ListenForNotify() const;

 private:
  StateDir(std::string id, UniqueFd root, UniqueFd dir)
      : id_(std::move(id)), root_(std::move(root)), dir_(std::move(dir)) {}

  std::string id_;
  UniqueFd root_;
  UniqueFd dir_;
};

// The container's cgroup; kNotFound when it has gone, or there never was one.
Result<runtime::Cgroup> OpenCgroup(const State& state);

// The container as it is now.
struct Container {
  StateDir dir;
  State state;
  Status status = Status::kStopped;
  sys::PidFd init;  // empty when it has ended

  Result<runtime::Cgroup> OpenCgroup() const { return oci_runtime::OpenCgroup(state); }
  // state.json as `state` prints it and hooks read it.
  std::string StateJson() const;
};

enum class Locked : uint8_t { kNo, kYes };
Result<Container> FindContainer(const std::string& root, const std::string& id, Locked locked);
// One whose state.json is damaged, locked, by StateDir::Guess: for its removal.
Result<Container> FindDamaged(const Globals& globals, const std::string& id);

// Locked, and kConflict when it has ended.
Result<Container> FindRunning(const std::string& root, const std::string& id);

std::string StateJson(const State& state, Status status);

}  // namespace wherry::oci_runtime
