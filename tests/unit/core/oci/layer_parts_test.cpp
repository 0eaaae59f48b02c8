#include "core/oci/layer_parts.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

const std::string kDigest = Cat("sha256:", std::string(64, 'a'));

std::optional<LayerParts> Parse(const std::string& prefix, const std::string& toc,
                                const std::string& split, const std::string& digest = kDigest) {
  JsonWriter json;
  json.Object();
  json.Field(Cat(prefix, "manifest-position"), toc);
  json.Field(Cat(prefix, "tarsplit-position"), split);
  json.Field(Cat(prefix, "manifest-checksum"), digest).End();
  auto document = JsonDocument::Parse(json.text(), "annotations");
  return ParseLayerParts(document->root());
}

constexpr const char* kNew = "io.github.containers.zstd-chunked.";

TEST(LayerParts, BothPrefixes) {
  for (const char* prefix : {kNew, "io.containers.zstd-chunked."}) {
    auto parts = Parse(prefix, "853131:2803:9583:1", "855942:1517:41466");
    ASSERT_TRUE(parts) << prefix;
    EXPECT_EQ(parts->toc.offset, 853131u);
    EXPECT_EQ(parts->toc.size, 2803u);
    EXPECT_EQ(parts->toc.unpacked_size, 9583u);
    EXPECT_EQ(parts->toc_digest.string(), kDigest);
    EXPECT_EQ(parts->tar_split.offset, 855942u);
    EXPECT_EQ(parts->tar_split.size, 1517u);
    EXPECT_EQ(parts->tar_split.unpacked_size, 41466u);
  }
  EXPECT_FALSE(Parse("containerd.io/snapshot/", "1:2:3:1", "4:5:6"));
}

TEST(LayerParts, WhatIsMissingOrMalformedCountsAsNone) {
  EXPECT_FALSE(ParseLayerParts(JsonValue()));
  for (const char* toc : {"", "1:2:3", "1:2:3:2", "1:2:3:1:4", "a:2:3:1", "-1:2:3:1", "1::3:1",
                          "18446744073709551615:2:3:1", "99999999999999999999:2:3:1"})
    EXPECT_FALSE(Parse(kNew, toc, "4:5:6")) << toc;
  for (const char* split : {"", "4:5", "4:5:6:1", "4:5:x"})
    EXPECT_FALSE(Parse(kNew, "1:2:3:1", split)) << split;
  EXPECT_FALSE(Parse(kNew, "1:2:3:1", "4:5:6", "sha256:12"));
  EXPECT_FALSE(Parse(kNew, "1:2:3:1", "4:5:6", ""));
}

}  // namespace
}  // namespace wherry::oci
