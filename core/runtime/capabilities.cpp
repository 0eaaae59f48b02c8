#include "core/runtime/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

// By number, without "CAP_".
constexpr std::array<std::string_view, CAP_LAST_CAP + 1> kNames = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(kNames[CAP_CHECKPOINT_RESTORE] == "CHECKPOINT_RESTORE" &&
              kNames[CAP_SYS_CHROOT] == "SYS_CHROOT");
static_assert(kDockerCapabilities ==
              (CapabilityBit(CAP_CHOWN) | CapabilityBit(CAP_DAC_OVERRIDE) |
               CapabilityBit(CAP_FSETID) | CapabilityBit(CAP_FOWNER) | CapabilityBit(CAP_MKNOD) |
               CapabilityBit(CAP_NET_RAW) | CapabilityBit(CAP_SETGID) | CapabilityBit(CAP_SETUID) |
               CapabilityBit(CAP_SETFCAP) | CapabilityBit(CAP_SETPCAP) |
               CapabilityBit(CAP_NET_BIND_SERVICE) | CapabilityBit(CAP_SYS_CHROOT) |
               CapabilityBit(CAP_KILL) | CapabilityBit(CAP_AUDIT_WRITE)));

constexpr int kMaxCapability = 63;

// capget and capset have no wrapper in the C library.
Result<> CallCapset(const CapabilitySets& sets) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int word = 0; word < 2; ++word) {
    data[word].effective = static_cast<uint32_t>(sets.effective >> (32 * word));
    data[word].permitted = static_cast<uint32_t>(sets.permitted >> (32 * word));
    data[word].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * word));
  }
  if (syscall(SYS_capset, &header, data) != 0)
    return FailSys("capset");
  return {};
}

Result<CapabilitySets> CallCapget() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0)
    return FailSys("capget");
  CapabilitySets sets;
  for (int word = 0; word < 2; ++word) {
    sets.effective |= CapabilitySet{data[word].effective} << (32 * word);
    sets.permitted |= CapabilitySet{data[word].permitted} << (32 * word);
    sets.inheritable |= CapabilitySet{data[word].inheritable} << (32 * word);
  }
  return sets;
}

// The first capability of `set` that the thread cannot have: for the message of a failure.
std::string MissingCapability(CapabilitySet set, CapabilitySet permitted) {
  CapabilitySet missing = set & ~permitted;
  for (int number = 0; number <= kMaxCapability; ++number) {
    if ((missing & CapabilityBit(number)) != 0)
      return CapabilityName(number);
  }
  return "";
}

}  // namespace

Result<int> CapabilityNumber(std::string_view name) {
  std::string_view bare = name;
  if (bare.size() > 4 && EqualsIgnoreCase(bare.substr(0, 4), "CAP_"))
    bare.remove_prefix(4);
  for (size_t number = 0; number < kNames.size(); ++number) {
    if (EqualsIgnoreCase(kNames[number], bare))
      return static_cast<int>(number);
  }
  return Fail(Errc::kInvalid,
              Cat("unknown capability \"", name, "\"; names are as in capabilities(7)"));
}

std::string CapabilityName(int number) {
  if (number >= 0 && static_cast<size_t>(number) < kNames.size()) {
    return Cat("CAP_", kNames[static_cast<size_t>(number)]);
  }
  return Cat("CAP_", number);
}

Result<CapabilitySet> ParseCapabilities(std::span<const std::string> names) {
  CapabilitySet set = 0;
  for (const std::string& name : names) {
    if (EqualsIgnoreCase(name, "ALL") || EqualsIgnoreCase(name, "CAP_ALL")) {
      set |= AllCapabilities();
      continue;
    }
    int number = TRY(CapabilityNumber(name));
    set |= CapabilityBit(number);
  }
  return set;
}

std::vector<std::string> CapabilityNames(CapabilitySet set) {
  std::vector<std::string> names;
  for (int number = 0; number <= kMaxCapability; ++number) {
    if ((set & CapabilityBit(number)) != 0)
      names.push_back(CapabilityName(number));
  }
  return names;
}

int LastCapability() {
  static const int last = [] {
    int number = 0;
    while (number < kMaxCapability && prctl(PR_CAPBSET_READ, number + 1, 0, 0, 0) >= 0)
      ++number;
    return number;
  }();
  return last;
}

CapabilitySet AllCapabilities() {
  int last = LastCapability();
  return last >= kMaxCapability ? ~CapabilitySet{0} : CapabilityBit(last + 1) - 1;
}

Result<CapabilitySets> CurrentCapabilities() {
  CapabilitySets sets = TRY(CallCapget());
  for (int number = 0; number <= LastCapability(); ++number) {
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
      sets.bounding |= CapabilityBit(number);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) == 1)
      sets.ambient |= CapabilityBit(number);
  }
  return sets;
}

Result<CapabilitySet> EffectiveCapabilities() {
  CapabilitySets sets = TRY(CallCapget());
  return sets.effective;
}

Result<> DropBounding(CapabilitySet keep) {
  for (int number = 0; number <= kMaxCapability; ++number) {
    if ((keep & CapabilityBit(number)) != 0 || prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0)
      continue;
    if (errno == EINVAL)  // beyond the kernel's last one
      return {};
    // Without CAP_SETPCAP one that is not there cannot be dropped either.
    int error_number = errno;
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) {
      return std::unexpected(
          Error::Sys(error_number, "prctl(PR_CAPBSET_DROP)", CapabilityName(number)));
    }
  }
  return {};
}

Result<> KeepCapabilitiesOverSetuid() {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
    return FailSys("prctl(PR_SET_KEEPCAPS)");
  return {};
}

Result<> SetCapabilities(const CapabilitySets& sets) {
  CapabilitySets current = TRY(CallCapget());
  std::string missing = MissingCapability(sets.effective | sets.permitted, current.permitted);
  if (!missing.empty()) {
    return Fail(Errc::kDenied,
                Cat("capability ", missing, " cannot be given: wherry does not have it itself"));
  }
  TRY(CallCapset(sets));
  // Kernels before 4.3 have no ambient set; they are not supported.
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return FailSys("prctl(PR_CAP_AMBIENT_CLEAR_ALL)");
  for (int number = 0; number <= kMaxCapability; ++number) {
    if ((sets.ambient & CapabilityBit(number)) == 0)
      continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      return FailSys("prctl(PR_CAP_AMBIENT_RAISE)", CapabilityName(number));
    }
  }
  return {};
}

}  // namespace wherry::runtime
