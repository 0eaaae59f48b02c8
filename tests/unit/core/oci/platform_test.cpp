#include "core/oci/platform.h"

#include <gtest/gtest.h>

namespace wherry::oci {
namespace {

TEST(Platform, Names) {
  EXPECT_EQ(PlatformName(*ParsePlatform("linux/arm/v7")), "linux/arm/v7");
  EXPECT_EQ(PlatformName(*ParsePlatform("arm64")), "linux/arm64");
  EXPECT_EQ(PlatformName(*ParsePlatform("linux/aarch64")), "linux/arm64");
  EXPECT_EQ(PlatformName(*ParsePlatform("armhf")), "linux/arm/v7");
  EXPECT_EQ(PlatformName(*ParsePlatform("armel")), "linux/arm/v6");
  EXPECT_EQ(*ParsePlatform("linux"), HostPlatform());
  for (std::string_view bad : {"", "linux/", "linux/z80", "windows/amd64", "linux/arm/v7/x", "/",
                               "../x", "linux/arm/new"}) {
    EXPECT_FALSE(ParsePlatform(bad)) << bad;
  }
}

TEST(Platform, HostilePartsAreMadePrintable) {
  EXPECT_EQ(PlatformName({"li\nnux", "a\x1b", ""}), "li?nux/a?");
  EXPECT_LT(
      PlatformName({std::string(1000, 'a'), std::string(1000, 'b'), std::string(1000, 'c')}).size(),
      200u);
}

TEST(Platform, ArmVariantFromTheAuxiliaryVector) {
  EXPECT_EQ(ArmVariant("v8l", 0), "v8") << "32-bit program on a 64-bit kernel";
  EXPECT_EQ(ArmVariant("v7l", 0), "v7");
  EXPECT_EQ(ArmVariant("v6l", 1ul << 6), "v6") << "Pi 1 and Zero have VFP";
  EXPECT_EQ(ArmVariant("v5l", 1ul << 6), "v5");
  // Without AT_PLATFORM: VFPv3, NEON, the thread register.
  EXPECT_EQ(ArmVariant("", 1ul << 13), "v7");
  EXPECT_EQ(ArmVariant("", 1ul << 12), "v7");
  EXPECT_EQ(ArmVariant("", (1ul << 15) | (1ul << 6)), "v6");
  EXPECT_EQ(ArmVariant("", 1ul << 6), "v5");
  EXPECT_EQ(ArmVariant("aarch64", 0), "v5") << "not a name of this kind";
}

struct Match {
  Platform wanted;
  Platform offered;
  bool runs;
};

TEST(Platform, WhatRunsWhere) {
  const Match cases[] = {
      {{"linux", "arm64", "v8"}, {"linux", "arm64", ""}, true},
      {{"linux", "arm64", "v8"}, {"linux", "arm64", "v8"}, true},
      {{"linux", "arm64", "v8"}, {"linux", "arm64", "v9"}, false},
      {{"linux", "arm64", "v8"}, {"linux", "arm", "v7"}, false},
      {{"linux", "arm", "v7"}, {"linux", "arm", ""}, true},
      {{"linux", "arm", "v6"}, {"linux", "arm", ""}, false},
      {{"linux", "arm", "v7"}, {"linux", "arm", "7"}, true},
      {{"linux", "arm", "v7"}, {"linux", "arm", "banana"}, false},
      {{"linux", "arm", "v5"}, {"linux", "arm", "v6"}, false},
      {{"linux", "amd64", ""}, {"linux", "amd64", "v1"}, true},
      {{"linux", "amd64", ""}, {"linux", "amd64", "v3"}, false},
      {{"linux", "amd64", "v3"}, {"linux", "amd64", "v2"}, true},
      {{"linux", "amd64", ""}, {"linux", "386", ""}, false},
      {{"linux", "amd64", ""}, {"windows", "amd64", ""}, false},
      {{"linux", "s390x", ""}, {"linux", "s390x", ""}, true},
  };
  for (const Match& match : cases) {
    EXPECT_EQ(PlatformScore(match.wanted, match.offered) > 0, match.runs)
        << PlatformName(match.wanted) << " offered " << PlatformName(match.offered);
  }
  Platform v7{"linux", "arm", "v7"};
  EXPECT_GT(PlatformScore(v7, {"linux", "arm", "v7"}), PlatformScore(v7, {"linux", "arm", "v6"}));
  EXPECT_GT(PlatformScore(v7, {"linux", "arm", "v6"}), PlatformScore(v7, {"linux", "arm", "v5"}));
}

}  // namespace
}  // namespace wherry::oci
