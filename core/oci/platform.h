// Platforms of images: OCI image-spec v1.1 image-index.md#platform, with Docker's rules for ARM
// variants.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::oci {

struct Platform {
  std::string os;            // "linux"
  std::string architecture;  // GOARCH: amd64, arm64, arm, 386
  std::string variant;       // v8, v7, v6, v5; empty where the architecture has none

  bool operator==(const Platform&) const = default;
};

// This machine. The ARM variant comes from the kernel's HWCAP, never from cpuinfo.
Platform HostPlatform();

// The variant of 32-bit ARM that the processor runs ("v8" down to "v5"), from the values of
// AT_PLATFORM ("v7l"; may be empty) and AT_HWCAP in the auxiliary vector.
std::string ArmVariant(std::string_view at_platform, unsigned long hwcap);

// "linux/arm/v7", "linux/arm64", "arm64", "linux" (this machine's architecture), with Docker's
// aliases ("aarch64", "armhf"). kInvalid otherwise.
Result<Platform> ParsePlatform(std::string_view text);
// "linux/arm/v7". Text from images is hostile: what is not printable becomes '?', and long names
// are cut.
std::string PlatformName(const Platform& platform);

// How well an image made for `offered` runs on `wanted`: 0 not at all, higher is better. Processors
// run images of their own and of older variants, the nearest is the best; arm alone means v7, arm64
// v8, amd64 v1. Another architecture never matches (no 386 on amd64, no arm on arm64): not every
// processor and kernel runs it.
int PlatformScore(const Platform& wanted, const Platform& offered);

}  // namespace wherry::oci
