#include "core/runtime/syscalls.h"

#include <array>

namespace wherry::runtime {

namespace {

// All names in one block and where each begins: no pointers, so nothing to relocate.
constexpr char kNames[] =
#define WHERRY_SYSCALL(name, x86_64, i386, aarch64, arm) #name "\0"
#include "core/runtime/syscalls.inc"
#undef WHERRY_SYSCALL
    ;

constexpr auto kOffsets = [] {
  std::array<uint16_t, kSyscallCount + 1> offsets{};
  size_t position = 0;
  for (size_t i = 0; i < kSyscallCount; ++i) {
    offsets[i] = static_cast<uint16_t>(position);
    while (kNames[position] != '\0')
      ++position;
    ++position;
  }
  offsets[kSyscallCount] = static_cast<uint16_t>(position);
  return offsets;
}();

constexpr std::string_view NameAt(size_t index) {
  size_t begin = kOffsets[index];
  return {kNames + begin, kOffsets[index + 1] - begin - 1};
}

constexpr bool Sorted() {
  for (size_t i = 1; i < kSyscallCount; ++i) {
    if (NameAt(i - 1) >= NameAt(i))
      return false;
  }
  return true;
}
static_assert(Sorted());

}  // namespace

std::string_view SyscallName(Sys call) {
  return call < Sys::kCount ? NameAt(static_cast<size_t>(call)) : std::string_view();
}

Sys FindSyscall(std::string_view name) {
  size_t low = 0;
  size_t high = kSyscallCount;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (NameAt(middle) < name) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < kSyscallCount && NameAt(low) == name ? static_cast<Sys>(low) : Sys::kCount;
}

}  // namespace wherry::runtime
