#include "core/oci/platform.h"

#include <sys/auxv.h>

#include "core/base/text.h"

namespace wherry::oci {

namespace {

constexpr int kExactScore = 100;

// Bits of AT_HWCAP on 32-bit ARM (asm/hwcap.h); the kernel passes them to 32-bit programs on 64-bit
// kernels too.
constexpr unsigned long kHwcapNeon = 1ul << 12;
constexpr unsigned long kHwcapVfpv3 = 1ul << 13;
constexpr unsigned long kHwcapTls = 1ul << 15;  // the thread register came with ARMv6K

constexpr size_t kMaxShown = 64;

// What an architecture means without a variant; 0: it has none.
int DefaultVariant(std::string_view architecture) {
  if (architecture == "arm64")
    return 8;
  if (architecture == "arm")
    return 7;
  return architecture == "amd64" ? 1 : 0;
}

// "v7" -> 7; 0 for what is no variant.
int VariantNumber(const Platform& platform) {
  std::string_view variant = platform.variant;
  if (variant.empty())
    return DefaultVariant(platform.architecture);
  if (variant.starts_with('v'))
    variant.remove_prefix(1);
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
    {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
    {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},  {"i386", "386", ""},
    {"i686", "386", ""},
};

constexpr std::string_view kArchitectures[] = {"amd64",   "arm64",   "arm",   "386",
                                               "riscv64", "ppc64le", "s390x", "mips64le"};

bool KnownArchitecture(std::string_view name) {
  for (std::string_view known : kArchitectures) {
    if (known == name)
      return true;
  }
  return false;
}

}  // namespace

std::string ArmVariant(std::string_view at_platform, unsigned long hwcap) {
  if (at_platform.size() >= 2 && at_platform[0] == 'v' && at_platform[1] >= '5' &&
      at_platform[1] <= '8') {
    return std::string(at_platform.substr(0, 2));
  }
  if ((hwcap & (kHwcapVfpv3 | kHwcapNeon)) != 0)
    return "v7";
  return (hwcap & kHwcapTls) != 0 ? "v6" : "v5";
}

Platform HostPlatform() {
#if defined(__aarch64__)
  return {"linux", "arm64", "v8"};
#elif defined(__arm__)
  const auto* name = reinterpret_cast<const char*>(getauxval(AT_PLATFORM));
  return {"linux", "arm",
          ArmVariant(name == nullptr ? std::string_view() : std::string_view(name),
                     getauxval(AT_HWCAP))};
#elif defined(__x86_64__)
  return {"linux", "amd64", ""};
#else
#error "unknown architecture"
#endif
}

Result<Platform> ParsePlatform(std::string_view text) {
  if (text == "linux")
    return HostPlatform();
  auto parts = Split(text, '/');
  Platform platform{"linux", "", ""};
  size_t next = 0;
  if (parts.size() > 1)
    platform.os = parts[next++];
  platform.architecture = parts[next++];
  if (next < parts.size())
    platform.variant = parts[next++];
  for (const Alias& alias : kAliases) {
    if (alias.name != platform.architecture)
      continue;
    platform.architecture = alias.architecture;
    if (platform.variant.empty())
      platform.variant = alias.variant;
    break;
  }
  bool variant_known = platform.variant.empty() || VariantNumber(platform) != 0;
  if (next != parts.size() || platform.os != "linux" || !KnownArchitecture(platform.architecture) ||
      !variant_known) {
    return Fail(Errc::kInvalid, Cat("unknown platform '", text.substr(0, kMaxShown),
                                    "'; write it as linux/arm64 or ", "linux/arm/v7"));
  }
  return platform;
}

std::string PlatformName(const Platform& platform) {
  std::string name;
  for (const std::string* part : {&platform.os, &platform.architecture, &platform.variant}) {
    if (part == &platform.variant && part->empty())
      break;
    Append(name, part == &platform.os ? "" : "/", std::string_view(*part).substr(0, kMaxShown));
  }
  for (char& c : name) {
    if (c <= ' ' || c >= 0x7f)
      c = '?';
  }
  return name;
}

int PlatformScore(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture)
    return 0;
  if (DefaultVariant(wanted.architecture) == 0)
    return offered.variant == wanted.variant || offered.variant.empty();
  int own = VariantNumber(wanted);
  int theirs = VariantNumber(offered);
  if (theirs == 0 || theirs > own)
    return 0;
  return kExactScore - (own - theirs);
}

}  // namespace wherry::oci
