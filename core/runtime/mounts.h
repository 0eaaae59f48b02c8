// The mounts of a configuration (config.md "Mounts"), in two phases: while the host's root is still
// current every source is opened as a detached mount; after pivot_root each is attached to a target
// resolved inside the container. A path string is never used on the wrong side. Runs in the
// container's init. Internal to core/runtime.
#pragma once

#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/mount_options.h"
#include "core/sys/path.h"

namespace wherry::runtime {

// The container's user namespace as it maps the ids of mounts.
Result<UniqueFd> OpenIds(const oci::RuntimeSpec& spec);

struct PlannedMount {
  const oci::Mount* spec;
  std::string destination;  // cleaned
  MountOptions options;
  UniqueFd tree;              // detached until attached
  std::string source_inside;  // path in the container, of what only an earlier mount brings there
  UniqueFd source;            // with "copyup", "tmpcopyup": to be written to
  sys::CreateAs kind = sys::CreateAs::kDirectory;  // what its target has to be
};

class MountPlan {
 public:
  // Opens what is the host's, and makes the caller's mount namespace private on the way. REQUIRES:
  // a new mount namespace, the namespaces that the container joins but its user namespace, the
  // host's root. `cgroup_root` is the host directory shown as /sys/fs/cgroup when the container has
  // no cgroup namespace of its own.
  static Result<MountPlan> Open(const oci::RuntimeSpec& spec, const std::string& bundle,
                                const std::string& cgroup_root);
  // Opens what belongs to namespaces of the container. REQUIRES: all its namespaces, the host's
  // root.
  Result<> OpenInside();

  // Attaches all mounts in order below `root`, creating targets. kInvalid for targets that would
  // let the container redirect the runtime (over or under /proc).
  Result<> Attach(int root);

  // Makes read-only what had to be written to until all was there: a tmpfs.
  Result<> Seal();

  // Root of a procfs of the container's pid namespace that nothing is mounted on: for sysctls and
  // /proc/self/fd.
  Result<int> Procfs();
  // The devpts mount on /dev/pts, or -1.
  int Devpts() const;
  // Whether /dev is a directory of the host (a bind mount), where no device may be made.
  bool DevIsBound() const;

 private:
  Result<> OpenOne(PlannedMount& mount, const std::string& bundle, const std::string& cgroup_root);
  std::string InsideOf(const std::string& path, const std::string& bundle) const;
  Result<> OpenFileSystem(PlannedMount& mount);
  bool BelongsInside(const PlannedMount& mount) const;
  Result<UniqueFd> OpenToFill(const PlannedMount& mount, const std::string& path);
  Result<> MapIds(const PlannedMount& mount, int tree);
  Result<> AttachOne(PlannedMount& mount, int root);

  const oci::RuntimeSpec* spec_ = nullptr;
  bool own_cgroup_namespace_ = false;
  UniqueFd ids_;  // the container's user namespace as the map of mounts, when one needs it
  std::vector<PlannedMount> mounts_;
  UniqueFd own_procfs_;
};

}  // namespace wherry::runtime
