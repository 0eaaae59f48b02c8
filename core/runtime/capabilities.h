// Linux capabilities: names, numbers, sets, and the calls that give a process exactly the sets of
// its configuration (capabilities(7); runtime-spec config.md "process.capabilities"). No libcap.
// Functions that change the calling thread are for single-threaded processes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::runtime {

// Bit n is capability number n.
using CapabilitySet = uint64_t;

constexpr CapabilitySet CapabilityBit(int number) {
  return CapabilitySet{1} << number;
}

// The five sets of runtime-spec, in its terms.
struct CapabilitySets {
  CapabilitySet bounding = 0;
  CapabilitySet effective = 0;
  CapabilitySet inheritable = 0;
  CapabilitySet permitted = 0;
  CapabilitySet ambient = 0;
};

// The number of "CAP_KILL", "KILL" or "cap_kill". kInvalid naming the text when wherry does not
// know it.
Result<int> CapabilityNumber(std::string_view name);
// "CAP_KILL"; "CAP_63" style for numbers without a name.
std::string CapabilityName(int number);
// The union of the named capabilities; "ALL" is every capability this kernel has.
Result<CapabilitySet> ParseCapabilities(std::span<const std::string> names);
// Names in ascending order of number.
std::vector<std::string> CapabilityNames(CapabilitySet set);

// The highest capability number this kernel knows (asked by PR_CAPBSET_READ once).
int LastCapability();
// Every capability this kernel has.
CapabilitySet AllCapabilities();

// What Docker grants by default: CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID
// SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE.
constexpr CapabilitySet kDockerCapabilities =
    CapabilityBit(0) | CapabilityBit(1) | CapabilityBit(3) | CapabilityBit(4) | CapabilityBit(5) |
    CapabilityBit(6) | CapabilityBit(7) | CapabilityBit(8) | CapabilityBit(10) | CapabilityBit(13) |
    CapabilityBit(18) | CapabilityBit(27) | CapabilityBit(29) | CapabilityBit(31);

// The sets of the calling thread as they are now (capget, PR_CAPBSET_READ, PR_CAP_AMBIENT_IS_SET).
Result<CapabilitySets> CurrentCapabilities();
// The effective one alone, by one system call in the place of eighty.
Result<CapabilitySet> EffectiveCapabilities();

// Order of use in the container's init, as root of its user namespace:
//   DropBounding(sets.bounding); KeepCapabilitiesOverSetuid(); setgroups, setresgid, setresuid;
//   SetCapabilities(sets);
// A capability that the caller does not have gives kDenied naming it.

// Drops from the bounding set whatever is not in `keep`.
Result<> DropBounding(CapabilitySet keep);
// PR_SET_KEEPCAPS; the execve that follows clears it.
Result<> KeepCapabilitiesOverSetuid();
// capset of effective, permitted and inheritable, then the ambient set (cleared, then raised one by
// one). REQUIRES: DropBounding has been called. Does not touch the bounding set.
Result<> SetCapabilities(const CapabilitySets& sets);

}  // namespace wherry::runtime
