// The device list of a container as a BPF_PROG_TYPE_CGROUP_DEVICE program (runtime-spec config-linux.md "Allowed Device
// List"; there is no file for it in cgroup v2). Pure: compiles rules; core/sys/bpf loads and attaches.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/result.h"

namespace wherry::runtime {

enum class DeviceType : uint8_t { kAll, kBlock, kChar };
enum DeviceAccess : uint8_t { kDeviceMknod = 1, kDeviceRead = 2, kDeviceWrite = 4, kDeviceAll = 7 };

// One rule; the last one that covers an access decides, without one it is denied.
struct DeviceRule {
  bool allow = false;
  DeviceType type = DeviceType::kAll;  // kAll covers every number and every access, whatever else the rule says
  std::optional<uint32_t> major;       // absent: any
  std::optional<uint32_t> minor;
  uint8_t access = kDeviceAll;
};

// What a container can always use, appended to the rules of every configuration that denies something: null, zero, full,
// random, urandom, tty, console, ptmx, pts, and mknod of anything (making a node gives no access to the device).
std::span<const DeviceRule> DefaultDeviceRules();

// The program for `rules`. Two are ready made: the one of Docker's default rules and "everything is allowed" (empty when
// no program is needed at all). kUnsupported when the rules need more than 4096 instructions.
struct DeviceProgram {
  std::vector<bpf_insn> code;  // empty: everything is allowed, attach nothing
};
Result<DeviceProgram> CompileDeviceRules(std::span<const DeviceRule> rules);

// What the compiled program answers, computed directly: for tests and for `wherry check`.
bool DeviceAllowed(std::span<const DeviceRule> rules, DeviceType type, uint32_t major, uint32_t minor, uint8_t access);

}  // namespace wherry::runtime
