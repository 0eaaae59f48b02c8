// The device list of a container as a BPF_PROG_TYPE_CGROUP_DEVICE program (runtime-spec
// config-linux.md "Allowed Device List"; cgroup v2 has no file for it). Pure: compiles rules;
// core/sys/bpf loads and attaches. Thread-safe.
//
// Each kind of access (read, write, mknod) is decided by the last rule that covers it; what no rule
// covers is denied. A rule of type 'a' covers every device and every access, whatever else it says.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

// What every container can use: null, zero, full, random, urandom, tty, console, ptmx, pts, and
// mknod of anything (a node gives no access to its device). Follows the rules of the configuration,
// so that these cannot be taken away.
std::span<const oci::DeviceRule> DefaultDeviceRules();

// The program for `rules` followed by the default ones; empty when everything is allowed and
// nothing has to be attached. kInvalid for a type other than 'a', 'b', 'c' ('u' counts as 'c'),
// kUnsupported beyond 4096 instructions.
Result<std::vector<bpf_insn>> CompileDeviceRules(std::span<const oci::DeviceRule> rules);

}  // namespace wherry::runtime
