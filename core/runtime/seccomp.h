// Seccomp filters: Docker's default profile and linux.seccomp of an OCI configuration, compiled to
// classic BPF by our own compiler (no libseccomp). The default profile with Docker's default
// capabilities is compiled when wherry is built and lies in read-only data; every other one takes
// microseconds. Thread-safe; nothing here changes the calling process but InstallSeccomp.
//
// Shape of a program: load the architecture first, then one balanced tree of ranges of system call
// numbers per ABI, so that the kernel's bitmap of always-allowed calls (5.11) covers everything
// without argument checks; those have a leaf of their own. Both ABIs of a 64-bit kernel are
// filtered (aarch64 with arm, x86_64 with i386), any other kills the process. Numbers above the
// highest known one give ENOSYS unless the default action lets calls pass, so that a newer C
// library falls back. Rules are tried in order, the first that matches decides.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/runtime/capabilities.h"

namespace wherry::runtime {

// A compiled program, either in read-only data or owned. Move-only; the span stays valid over
// moves.
class SeccompFilter {
 public:
  SeccompFilter() = default;  // empty: unconfined
  explicit SeccompFilter(std::span<const sock_filter> read_only) : code_(read_only) {}
  explicit SeccompFilter(std::vector<sock_filter> owned)
      : owned_(std::move(owned)), code_(owned_) {}
  SeccompFilter(SeccompFilter&& other) noexcept
      : owned_(std::move(other.owned_)),
        code_(std::exchange(other.code_, {})),
        flags_(other.flags_) {}
  SeccompFilter& operator=(SeccompFilter&& other) noexcept {
    owned_ = std::move(other.owned_);
    code_ = std::exchange(other.code_, {});
    flags_ = other.flags_;
    return *this;
  }
  SeccompFilter(const SeccompFilter&) = delete;
  SeccompFilter& operator=(const SeccompFilter&) = delete;
  ~SeccompFilter() = default;

  std::span<const sock_filter> code() const { return code_; }
  uint32_t flags() const { return flags_; }  // SECCOMP_FILTER_FLAG_* to install it with
  void set_flags(uint32_t flags) { flags_ = flags; }

 private:
  std::vector<sock_filter> owned_;
  std::span<const sock_filter> code_;
  uint32_t flags_ = 0;
};

// Docker's default profile for a container whose bounding set is `bounding`. Never fails for lack
// of anything: the profile is built in.
SeccompFilter DefaultSeccomp(CapabilitySet bounding);

// linux.seccomp of runtime-spec (defaultAction, defaultErrnoRet, architectures, flags, syscalls).
// Docker's profile format is read too: includes and excludes by capability (of `bounding`),
// architecture and kernel, archMap. System calls that wherry or the architecture does not know are
// ignored, as runc does. kInvalid naming the field for anything malformed, kUnsupported for
// programs over 4096 instructions, and for SCMP_ACT_NOTIFY and a listenerPath unless the caller
// takes care of the listener (SeccompProgram::listener).
enum class Notify : uint8_t { kRefused, kAllowed };
Result<SeccompFilter> CompileSeccomp(JsonValue seccomp, CapabilitySet bounding,
                                     Notify notify = Notify::kRefused);

// seccomp(SECCOMP_SET_MODE_FILTER) on the calling process. Needs no_new_privs or CAP_SYS_ADMIN.
// Gives the listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0. Empty: nothing is
// done. Flags that an older kernel refuses and that only speed things up or log
// (SPEC_ALLOW, LOG) are left out then.
Result<int> InstallSeccomp(std::span<const sock_filter> code, uint32_t flags);

}  // namespace wherry::runtime
