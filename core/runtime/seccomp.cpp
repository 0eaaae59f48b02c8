#include "core/runtime/seccomp.h"

#include <linux/seccomp.h>

#include <array>
#include <cerrno>
#include <memory>

#include "core/base/text.h"
#include "core/runtime/seccomp_default.h"
#include "core/runtime/seccomp_native.h"
#include "core/sys/bpf.h"

namespace wherry::runtime {

namespace {

using seccomp::Assembler;
using seccomp::kNativeAbis;
using seccomp::kNativeHost;
using seccomp::kOldestKernel;
using seccomp::docker::kProfile;

// Makes a program in constant evaluation: once to know its size, once for its content.
constexpr Assembler CompileDefault() {
  Assembler out;
  seccomp::Compile(out, kProfile, kNativeAbis, kNativeHost, kDockerCapabilities, kOldestKernel);
  return out;
}

constexpr auto kDefaultProgram = [] {
  constexpr size_t kSize = CompileDefault().size();
  Assembler compiled = CompileDefault();
  std::array<sock_filter, kSize> code{};
  for (size_t i = 0; i < kSize; ++i)
    code[i] = compiled.FromStart(i);
  return code;
}();
static_assert(!CompileDefault().overflow());

// The capabilities that the profile asks about.
constexpr CapabilitySet kRelevant = [] {
  CapabilitySet set = 0;
  for (const seccomp::Rule& rule : kProfile.rules)
    set |= rule.needs | rule.unless;
  return set;
}();

constexpr bool AllRulesFitOldestKernel() {
  for (const seccomp::Rule& rule : kProfile.rules) {
    if (rule.min_kernel > kOldestKernel)
      return false;
  }
  return true;
}
static_assert(AllRulesFitOldestKernel());

}  // namespace

std::vector<sock_filter> seccomp::TakeCode(const Assembler& compiled) {
  std::vector<sock_filter> code(compiled.size());
  for (size_t i = 0; i < code.size(); ++i)
    code[i] = compiled.FromStart(i);
  return code;
}

SeccompFilter DefaultSeccomp(CapabilitySet bounding) {
  SeccompFilter filter;
  if ((bounding & kRelevant) == (kDockerCapabilities & kRelevant)) {
    filter = SeccompFilter(std::span(kDefaultProgram));
  } else {
    auto out = std::make_unique<Assembler>();
    seccomp::Compile(*out, kProfile, kNativeAbis, kNativeHost, bounding, kOldestKernel);
    filter = SeccompFilter(seccomp::TakeCode(*out));
  }
  filter.set_flags(SECCOMP_FILTER_FLAG_SPEC_ALLOW);
  return filter;
}

Result<int> InstallSeccomp(std::span<const sock_filter> code, uint32_t flags) {
  if (code.empty())
    return 0;
  constexpr uint32_t kOptional = SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  int result = sys::SetSeccompFilter(code, flags);
  if (result == -EINVAL && (flags & kOptional) != 0)
    result = sys::SetSeccompFilter(code, flags & ~kOptional);
  if (result >= 0)
    return result;
  return std::unexpected(Error::Sys(-result, "seccomp", "SECCOMP_SET_MODE_FILTER"));
}

}  // namespace wherry::runtime
