#include "core/oci/image_spec.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

const std::string kDigest = Cat("sha256:", std::string(64, 'a'));

std::string DescriptorJson(std::string_view type, std::string_view digest = kDigest, std::string_view size = "7") {
  return Cat(R"({"mediaType":")", type, R"(","digest":")", digest, R"(","size":)", size, "}");
}

std::string ManifestJson(std::string_view config, std::string_view layers) {
  return Cat(R"({"schemaVersion":2,"mediaType":")", kOciManifest, R"(","config":)", config, R"(,"layers":[)", layers, "]}");
}

const std::string kConfig = DescriptorJson("application/vnd.oci.image.config.v1+json");

TEST(Manifest, OciAndDockerLayers) {
  auto manifest = ParseManifest(
      ManifestJson(kConfig, Cat(DescriptorJson("application/vnd.oci.image.layer.v1.tar+gzip"), ",",
                                DescriptorJson("application/vnd.oci.image.layer.v1.tar+zstd"), ",",
                                DescriptorJson("application/vnd.docker.image.rootfs.diff.tar.gzip"))),
      kOciManifest);
  ASSERT_TRUE(manifest) << manifest.error().message();
  ASSERT_EQ(manifest->layers.size(), 3u);
  EXPECT_EQ(manifest->layers[0].compression, LayerCompression::kGzip);
  EXPECT_EQ(manifest->layers[1].compression, LayerCompression::kZstd);
  EXPECT_EQ(manifest->layers[0].descriptor.size, 7u);
}

struct Bad {
  std::string json;
  Errc code;
  std::string_view says;
};

TEST(Manifest, RefusesWithAReason) {
  std::string gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
  const Bad cases[] = {
      {"", Errc::kInvalid, "manifest"},
      {"[]", Errc::kInvalid, "not a JSON object"},
      {"{", Errc::kInvalid, "manifest"},
      {"{}", Errc::kInvalid, "schemaVersion"},
      {R"({"schemaVersion":2})", Errc::kInvalid, "config"},
      {ManifestJson("null", ""), Errc::kInvalid, "config"},
      {ManifestJson(DescriptorJson("application/vnd.cncf.helm.config.v1+json"), ""), Errc::kUnsupported, "not a container image"},
      {ManifestJson(kConfig, "3"), Errc::kInvalid, "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, "sha256:short")), Errc::kInvalid, "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, "sha256:../../../../etc/passwd")), Errc::kInvalid, "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "-1")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "1e300")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "\"7\"")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson("text/plain")), Errc::kUnsupported, "text/plain"},
      {ManifestJson(kConfig, DescriptorJson("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")), Errc::kUnsupported,
       "foreign"},
  };
  for (const Bad& bad : cases) {
    auto manifest = ParseManifest(bad.json, kOciManifest);
    ASSERT_FALSE(manifest) << bad.json;
    EXPECT_EQ(manifest.error().code(), bad.code) << manifest.error().message();
    EXPECT_NE(manifest.error().message().find(bad.says), std::string::npos) << manifest.error().message();
  }
}

TEST(Manifest, TooManyLayers) {
  std::string layer = DescriptorJson("application/vnd.oci.image.layer.v1.tar");
  std::string layers = layer;
  for (size_t i = 0; i < kMaxLayers; ++i) Append(layers, ",", layer);
  EXPECT_FALSE(ParseManifest(ManifestJson(kConfig, layers), kOciManifest));
}

TEST(Kind, ByTypeThenByContent) {
  EXPECT_EQ(*KindOf(kOciIndex, "{}"), DocumentKind::kIndex);
  EXPECT_EQ(*KindOf(Cat(kDockerManifest, "; charset=utf-8"), "{}"), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf("application/json", Cat(R"({"mediaType":")", kDockerList, R"("})")), DocumentKind::kIndex);
  EXPECT_EQ(*KindOf("", R"({"schemaVersion":2,"layers":[]})"), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf("", R"({"schemaVersion":2,"manifests":[]})"), DocumentKind::kIndex);
  auto schema1 = KindOf("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}");
  ASSERT_FALSE(schema1);
  EXPECT_NE(schema1.error().message().find("schema 1"), std::string::npos);
  auto html = KindOf("text/html", "{}");
  ASSERT_FALSE(html);
  EXPECT_NE(html.error().message().find("text/html"), std::string::npos);
  EXPECT_FALSE(KindOf("", "<html>"));
}

Index ArmIndex(std::initializer_list<std::string_view> variants) {
  Index index;
  for (std::string_view variant : variants) {
    IndexEntry entry;
    entry.platform = {"linux", "arm", std::string(variant)};
    entry.descriptor.media_type = variant;
    index.manifests.push_back(entry);
  }
  return index;
}

TEST(Select, NearestOlderArmVariant) {
  Index index = ArmIndex({"v5", "v7", "v6"});
  EXPECT_EQ(SelectManifest(index, {"linux", "arm", "v7"})->media_type, "v7");
  EXPECT_EQ(SelectManifest(index, {"linux", "arm", "v6"})->media_type, "v6");
  EXPECT_EQ(SelectManifest(index, {"linux", "arm", "v8"})->media_type, "v7");
  EXPECT_EQ(SelectManifest(ArmIndex({"v5"}), {"linux", "arm", "v6"})->media_type, "v5");
  EXPECT_FALSE(SelectManifest(ArmIndex({"v7"}), {"linux", "arm", "v6"})) << "a Pi Zero cannot run ARMv7 code";
}

TEST(Select, Arm64WithAndWithoutVariant) {
  Index index;
  index.manifests.push_back({{"plain", {}, 0}, {"linux", "arm64", ""}});
  EXPECT_EQ(SelectManifest(index, {"linux", "arm64", "v8"})->media_type, "plain");
}

TEST(Select, NamesWhatThereIs) {
  Index index = ArmIndex({"v7"});
  index.manifests.push_back({{"a", {}, 0}, {"windows", "amd64", ""}});
  index.manifests.push_back({{"b", {}, 0}, {"unknown", "unknown", ""}});
  auto missing = SelectManifest(index, {"linux", "arm64", "v8"});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message().find("linux/arm64/v8"), std::string::npos);
  EXPECT_NE(missing.error().message().find("linux/arm/v7, windows/amd64"), std::string::npos) << missing.error().message();
  EXPECT_EQ(missing.error().message().find("unknown"), std::string::npos);
}

TEST(Platform, Names) {
  EXPECT_EQ(PlatformName(*ParsePlatform("linux/arm/v7")), "linux/arm/v7");
  EXPECT_EQ(PlatformName(*ParsePlatform("arm64")), "linux/arm64");
  EXPECT_EQ(PlatformName(*ParsePlatform("linux/aarch64")), "linux/arm64");
  EXPECT_EQ(PlatformName(*ParsePlatform("armhf")), "linux/arm/v7");
  for (std::string_view bad : {"", "linux", "linux/", "linux/z80", "windows/amd64", "linux/arm/v7/x", "/", "../x"}) {
    EXPECT_FALSE(ParsePlatform(bad)) << bad;
  }
}

TEST(ImageConfig, ReadsWhatTheEngineNeeds) {
  auto config = ParseImageConfig(Cat(R"({"architecture":"arm64","os":"linux","created":"2026-01-01T00:00:00Z",
    "config":{"User":"1000:1000","Env":["A=b"],"Entrypoint":"/init","Cmd":["x","y"],"WorkingDir":"/w",
    "Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"StopSignal":"SIGQUIT"},
    "rootfs":{"type":"layers","diff_ids":[")", kDigest, R"("]}})"));
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->diff_ids.size(), 1u);
  EXPECT_EQ(config->entrypoint, std::vector<std::string>{"/init"});
  EXPECT_EQ(config->volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(config->labels["k"], "v");
}

TEST(ImageConfig, ToleratesNullAndWrongTypes) {
  auto config = ParseImageConfig(R"({"config":{"Env":null,"Cmd":7,"Labels":[],"Volumes":"x"},"rootfs":null})");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->env.empty());
  EXPECT_FALSE(ParseImageConfig(R"({"rootfs":{"diff_ids":["sha256:zz"]}})"));
}

}  // namespace
}  // namespace wherry::oci
