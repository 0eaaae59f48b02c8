#include "core/oci/platform.h"

#include <sys/auxv.h>
#include <sys/utsname.h>

#include "core/base/text.h"

namespace wherry::oci {

namespace {

constexpr int kExactScore = 100;

#if defined(__arm__)
// Bits of AT_HWCAP on 32-bit ARM (asm/hwcap.h); the kernel passes them to 32-bit programs on 64-bit kernels too.
constexpr unsigned long kHwcapVfpv3 = 1ul << 13;
constexpr unsigned long kHwcapTls = 1ul << 15;
constexpr unsigned long kHwcapVfp = 1ul << 6;

std::string ArmVariant() {
  unsigned long bits = getauxval(AT_HWCAP);
  if ((bits & kHwcapVfpv3) != 0) return "v7";
  if ((bits & kHwcapVfp) != 0 || (bits & kHwcapTls) != 0) return "v6";
  return "v5";
}
#endif

int VariantNumber(const Platform& platform) {
  std::string_view variant = platform.variant;
  if (variant.empty()) return platform.architecture == "arm64" ? 8 : 7;
  if (variant.starts_with('v')) variant.remove_prefix(1);
  auto number = ParseUint(variant.substr(0, variant.find('.')));
  return number && *number < 100 ? static_cast<int>(*number) : 0;
}

// Docker's aliases of architectures.
struct Alias {
  std::string_view name;
  std::string_view architecture;
  std::string_view variant;
};
constexpr Alias kAliases[] = {
    {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},  {"i386", "386", ""},     {"i686", "386", ""},
};

constexpr std::string_view kArchitectures[] = {"amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x", "mips64le"};

bool KnownArchitecture(std::string_view name) {
  for (std::string_view known : kArchitectures) {
    if (known == name) return true;
  }
  return false;
}

}  // namespace

Platform HostPlatform() {
#if defined(__aarch64__)
  return {"linux", "arm64", "v8"};
#elif defined(__arm__)
  return {"linux", "arm", ArmVariant()};
#elif defined(__x86_64__)
  return {"linux", "amd64", ""};
#else
#error "unknown architecture"
#endif
}

Result<Platform> ParsePlatform(std::string_view text) {
  auto parts = Split(text, '/');
  Platform platform{"linux", "", ""};
  size_t next = 0;
  if (parts.size() > 1) platform.os = parts[next++];
  platform.architecture = parts[next++];
  if (next < parts.size()) platform.variant = parts[next++];
  for (const Alias& alias : kAliases) {
    if (alias.name != platform.architecture) continue;
    platform.architecture = alias.architecture;
    if (platform.variant.empty()) platform.variant = alias.variant;
  }
  if (next != parts.size() || platform.os != "linux" || !KnownArchitecture(platform.architecture)) {
    return Fail(Errc::kInvalid, Cat("unknown platform ", text, "; write it as linux/arm64 or linux/arm/v7"));
  }
  return platform;
}

std::string PlatformName(const Platform& platform) {
  std::string name = Cat(platform.os, "/", platform.architecture);
  if (!platform.variant.empty()) Append(name, "/", platform.variant);
  return name;
}

int PlatformScore(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return 0;
  if (wanted.architecture != "arm" && wanted.architecture != "arm64") {
    return offered.variant.empty() || offered.variant == wanted.variant ? kExactScore : 1;
  }
  int own = VariantNumber(wanted);
  int theirs = VariantNumber(offered);
  if (theirs == 0 || theirs > own) return 0;
  return kExactScore - (own - theirs);
}

}  // namespace wherry::oci
