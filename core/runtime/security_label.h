// Labels of security modules: AppArmor's profile and SELinux's context of the program to execute.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// Whether profiles confine anything here.
bool ApparmorEnabled();

// kUnsupported naming the member when this kernel has no such module: the program would run without
// the confinement that was asked for.
Result<> CheckLabels(const oci::Process& process, const std::string& mount_label);

// Announces what the next execve of the calling process changes to.
class ExecLabels {
 public:
  // Keeps /proc while it is the host's: the container's could be anything. Nothing without labels.
  Result<> Open(const oci::Process& process);
  // Before the filter is loaded.
  Result<> Announce(const oci::Process& process) const;
  int procfs() const { return procfs_.get(); }  // -1: none

 private:
  UniqueFd procfs_;
};

}  // namespace wherry::runtime
