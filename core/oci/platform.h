// Platforms of images: OCI image-spec v1.1 image-index.md#platform, with Docker's rules for ARM variants.
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

// "linux/arm/v7", "linux/arm64", "arm64". kInvalid otherwise.
Result<Platform> ParsePlatform(std::string_view text);
std::string PlatformName(const Platform& platform);  // "linux/arm/v7"

// How well an image made for `offered` runs on `wanted`: 0 not at all, higher is better. An ARM processor runs images of its
// own and of older variants (the nearest is the best); arm64 means v8.
int PlatformScore(const Platform& wanted, const Platform& offered);

}  // namespace wherry::oci
