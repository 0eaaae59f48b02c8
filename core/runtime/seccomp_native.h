// What the machine this program was compiled for means to a seccomp filter. Internal to
// core/runtime.
#pragma once

#include "core/runtime/seccomp_compiler.h"

namespace wherry::runtime::seccomp {

#if defined(__x86_64__)
inline constexpr Host kNativeHost = Host::kAmd64;
inline constexpr std::span<const AbiTable> kNativeAbis = kAmd64Abis;
#elif defined(__aarch64__)
inline constexpr Host kNativeHost = Host::kArm64;
inline constexpr std::span<const AbiTable> kNativeAbis = kArm64Abis;
#elif defined(__arm__)
inline constexpr Host kNativeHost = Host::kArm;
inline constexpr std::span<const AbiTable> kNativeAbis = kArmAbis;
#else
#error "no seccomp tables for this architecture"
#endif

// Without clone3 and pidfds (5.3) wherry does not run containers at all.
inline constexpr uint32_t kOldestKernel = 5 << 8 | 3;

// The program in order of execution.
std::vector<sock_filter> TakeCode(const Assembler& compiled);

}  // namespace wherry::runtime::seccomp
