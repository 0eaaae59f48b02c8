// Raw calls for eBPF programs of cgroups and for seccomp. Always passes the full union bpf_attr:
// kernels 6.17 to 7.1 write beyond a short one in BPF_PROG_QUERY.
#pragma once

#include <linux/bpf.h>
#include <linux/filter.h>

#include <cstdint>
#include <span>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

// Loads a BPF_PROG_TYPE_CGROUP_DEVICE program; EAGAIN of the verifier is retried. kUnsupported
// where the kernel lacks CONFIG_CGROUP_BPF, kDenied without CAP_BPF and CAP_SYS_ADMIN.
Result<UniqueFd> LoadDeviceProgram(std::span<const bpf_insn> code);

// Makes `program` the device program of the cgroup: attaches with BPF_F_ALLOW_MULTI, replacing the
// only one attached before if there is exactly one; of several, all old ones are detached after the
// new one is in place.
Result<> AttachDeviceProgram(int cgroup_dir, int program);
// Detaches every device program attached to this cgroup itself.
Result<> DetachDevicePrograms(int cgroup_dir);

// seccomp(SECCOMP_SET_MODE_FILTER, flags, code) on the calling thread. 0, with
// SECCOMP_FILTER_FLAG_NEW_LISTENER its descriptor, or -errno; makes no other system call.
int SetSeccompFilter(std::span<const sock_filter> code, uint32_t flags);

}  // namespace wherry::sys
