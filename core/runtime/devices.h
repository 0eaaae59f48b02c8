// Device nodes and links below /dev (config-linux.md "Default Devices", "Devices", "Default
// symbolic links"), and the terminal. Every node is made relative to a directory descriptor
// resolved inside the container's root. Runs in the container's init as root with umask 0. Internal
// to core/runtime.
#pragma once

#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// The devices a container gets: the default ones and those of the specification. Where the
// container's root may not make nodes, Open takes detached mounts of the host's, and for a new user
// namespace makes those of the specification aside; Create makes or binds them below the
// container's root, and the links.
class DevicePlan {
 public:
  // REQUIRES: the host's root, a private mount namespace.
  static Result<DevicePlan> Open(const oci::RuntimeSpec& spec);
  Result<> Create(int root);

 private:
  struct Entry {
    oci::Device device;
    UniqueFd host_node;  // to be bound; empty: mknod
  };
  Result<> MakeAside(const oci::RuntimeSpec& spec);

  std::vector<Entry> entries_;
};

// The container's own /dev/null, checked to be that device.
Result<UniqueFd> OpenContainerNull(int root);
bool IsNullDevice(int fd);

struct Console {
  UniqueFd master;
  UniqueFd slave;
};
// A new terminal from the devpts whose root is `devpts` (no path is resolved, CVE-2025-52565).
Result<Console> OpenConsole(int devpts, const oci::ConsoleSize& size);
// Makes it the container's /dev/console.
Result<> BindConsole(int root, int slave);

}  // namespace wherry::runtime
