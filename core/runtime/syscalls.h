// The system calls of the ABIs that a container can use on a supported machine: names and numbers,
// from syscalls.inc (generated from the kernel's headers). Numbers of an ABI that no code uses are
// left out by the linker.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace wherry::runtime {

// Position of a system call in the table; the names are the kernel's.
enum class Sys : uint16_t {
#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) k_##name,
#include "core/runtime/syscalls.inc"
#undef WHERRY_SYSCALL
  kCount
};
inline constexpr size_t kSyscallCount = static_cast<size_t>(Sys::kCount);

// One cell of a number column, see SyscallNumber.
inline constexpr uint16_t kNoSyscall = 0xffff;

#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) x86_64,
inline constexpr uint16_t kX8664Numbers[] = {
#include "core/runtime/syscalls.inc"
};
#undef WHERRY_SYSCALL
#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) i386,
inline constexpr uint16_t kI386Numbers[] = {
#include "core/runtime/syscalls.inc"
};
#undef WHERRY_SYSCALL
#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) aarch64,
inline constexpr uint16_t kAarch64Numbers[] = {
#include "core/runtime/syscalls.inc"
};
#undef WHERRY_SYSCALL
#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) arm,
inline constexpr uint16_t kArmNumbers[] = {
#include "core/runtime/syscalls.inc"
};
#undef WHERRY_SYSCALL

inline constexpr uint32_t kArmPrivateBase = 0x0f0000;  // breakpoint, cacheflush, set_tls, ...

// The number behind a cell that is not kNoSyscall.
constexpr uint32_t SyscallNumber(uint16_t cell) {
  return cell >= 0xf000 ? kArmPrivateBase + (cell - 0xf000U) : cell;
}

// Name of a call, for messages and tests.
std::string_view SyscallName(Sys call);
// The call of that name, Sys::kCount when there is none.
Sys FindSyscall(std::string_view name);

}  // namespace wherry::runtime
