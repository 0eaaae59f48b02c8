#include "core/oci/manifest_edit.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

const std::string kOld = Digest::Of("old").string();
const std::string kNew = Digest::Of("new").string();

std::string Manifest() {
  return Cat(R"({"schemaVersion":2,"mediaType":")", kOciManifest,
             R"(","config":{"mediaType":"c","digest":"d","size":1},"layers":[{"digest":")", kOld,
             R"(","annotations":{"a":"b"}},{"digest":")", kOld,
             R"("}],"annotations":{"kept":"yes"}})");
}

TEST(ReplaceLayers, KeepsAllElse) {
  Layer layer;
  layer.descriptor.digest = *Digest::Parse(kNew);
  layer.descriptor.size = 7;
  layer.compression = LayerCompression::kGzip;
  std::optional<Layer> layers[] = {std::nullopt, layer};
  auto changed = ReplaceLayers(Manifest(), kOciManifest, layers);
  ASSERT_TRUE(changed) << changed.error().message();
  auto document = JsonDocument::Parse(*changed, "manifest");
  EXPECT_EQ((*document)["annotations"]["kept"].str(), "yes");
  EXPECT_EQ((*document)["config"]["digest"].str(), "d");
  EXPECT_EQ((*document)["layers"].at(0)["annotations"]["a"].str(), "b");
  JsonValue second = (*document)["layers"].at(1);
  EXPECT_EQ(second["mediaType"].str(), "application/vnd.oci.image.layer.v1.tar+gzip");
  EXPECT_EQ(second["digest"].str(), kNew);
  EXPECT_EQ(second["size"].integer(), 7);
}

TEST(ReplaceLayers, WantsAsManyLayers) {
  std::optional<Layer> one[] = {std::nullopt};
  EXPECT_FALSE(ReplaceLayers(Manifest(), kOciManifest, one));
}

TEST(LayerType, DockersManifestsHaveNoZstd) {
  EXPECT_FALSE(LayerType(kDockerManifest, LayerCompression::kZstd));
  EXPECT_TRUE(LayerType(kOciManifest, LayerCompression::kZstd));
}

}  // namespace
}  // namespace wherry::oci
