// What the init of a container and a process that joins a running one have in common: from a fresh
// clone of the runtime to the execve of the user's program. Runs in that clone. Internal to
// core/runtime.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/capabilities.h"
#include "core/runtime/container.h"
#include "core/runtime/identity.h"
#include "core/runtime/security_label.h"
#include "core/runtime/sync.h"

namespace wherry::runtime {

struct ProgramRequest {
  const std::string& container;  // its ID
  const oci::Process& process;
  StandardStreams streams;
  SeccompProgram seccomp;
  CapabilitySets capabilities;
  int sync = -1;          // the clone's end
  int start_socket = -1;  // where kGo comes from; -1: from `sync`
  int preserved_fds = 0;  // that the program inherits, from 3 on
  // Resource limits can only be raised from outside then: by the runtime, before kGo.
  bool in_user_namespace = false;
  bool new_keyring = true;
  std::optional<uint32_t> personality = {};
  const oci::MemoryPolicy* memory_policy = nullptr;
  // Called with the program's environment right before it is executed.
  std::function<Result<>(const std::vector<std::string>& environment)> before_program = {};
};

// The steps in their order: Reset, then (inside the container's file system) FindUser, then Become.
class ProgramSetup {
 public:
  explicit ProgramSetup(const ProgramRequest& request) : request_(request) {}

  // What the caller may have left behind in the process.
  Result<> Reset();
  // Outside of the container's user namespace, where it would not be allowed.
  Result<> SetOomScore();
  // Root of the container's user namespace that the process is in.
  Result<> BecomeRoot();
  // To be kept open until then; -1: none.
  int procfs() const { return labels_.procfs(); }
  // A message of the runtime; kCancelled when that has gone.
  Result<> Await(SyncKind kind);
  // User, groups and environment by the files below `root`.
  Result<> FindUser(int root);
  // Reports kReady, waits for kGo, executes the program. `console`: the terminal, or empty. Returns
  // only with an error.
  StartResult<> Become(int root, const UniqueFd& directory, const UniqueFd& console);

 private:
  Result<> OpenStandardStreams(int root, const UniqueFd& console);
  Result<> GiveToUser(int fd);
  Result<> BecomeUser();
  StartResult<> EnterDirectory(int directory);
  Result<> CheckDirectory();
  void CloseWhatIsDone();
  Result<> AwaitStart();
  Result<> Confine();
  Result<> LoadFilter();

  const ProgramRequest& request_;
  Identity identity_;
  ExecLabels labels_;
  std::vector<std::string> env_;
};

}  // namespace wherry::runtime
