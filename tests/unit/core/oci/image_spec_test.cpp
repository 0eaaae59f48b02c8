#include "core/oci/image_spec.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

const std::string kDigest = Cat("sha256:", std::string(64, 'a'));

std::string DescriptorJson(std::string_view type, std::string_view digest = kDigest,
                           std::string_view size = "7") {
  return Cat(R"({"mediaType":")", type, R"(","digest":")", digest, R"(","size":)", size, "}");
}

std::string ManifestJson(std::string_view config, std::string_view layers) {
  return Cat(R"({"schemaVersion":2,"mediaType":")", kOciManifest, R"(","config":)", config,
             R"(,"layers":[)", layers, "]}");
}

const std::string kConfig = DescriptorJson("application/vnd.oci.image.config.v1+json");

TEST(Manifest, OciAndDockerLayers) {
  auto manifest = ParseManifest(
      ManifestJson(kConfig,
                   Cat(DescriptorJson("application/vnd.oci.image.layer.v1.tar+gzip"), ",",
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
      {ManifestJson(DescriptorJson("application/vnd.cncf.helm.config.v1+json"), ""),
       Errc::kUnsupported, "not a container image"},
      {ManifestJson(kConfig, "3"), Errc::kInvalid, "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, "sha256:short")), Errc::kInvalid, "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, "sha256:../../../../etc/passwd")), Errc::kInvalid,
       "layer 1"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "-1")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "1e300")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson(gzip, kDigest, "\"7\"")), Errc::kInvalid, "size"},
      {ManifestJson(kConfig, DescriptorJson("text/plain")), Errc::kUnsupported, "text/plain"},
      {ManifestJson(kConfig,
                    DescriptorJson("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
       Errc::kUnsupported, "foreign"},
  };
  for (const Bad& bad : cases) {
    auto manifest = ParseManifest(bad.json, kOciManifest);
    ASSERT_FALSE(manifest) << bad.json;
    EXPECT_EQ(manifest.error().code(), bad.code) << manifest.error().message();
    EXPECT_NE(manifest.error().message().find(bad.says), std::string::npos)
        << manifest.error().message();
  }
}

TEST(Manifest, TooManyLayers) {
  std::string layer = DescriptorJson("application/vnd.oci.image.layer.v1.tar");
  std::string layers = layer;
  for (size_t i = 0; i < kMaxLayers; ++i)
    Append(layers, ",", layer);
  EXPECT_FALSE(ParseManifest(ManifestJson(kConfig, layers), kOciManifest));
}

TEST(Manifest, MillionsOfValuesAreNotParsed) {
  std::string zeros = "0";
  for (int i = 0; i < 1'000'000; ++i)
    zeros += ",0";
  auto manifest = ParseManifest(Cat(R"({"schemaVersion":2,"x":[)", zeros, "]}"), kOciManifest);
  ASSERT_FALSE(manifest);
  EXPECT_NE(manifest.error().message().find("more than 50000 values"), std::string::npos)
      << manifest.error().message();
  std::string quoted(200'000, ',');
  EXPECT_TRUE(ParseManifest(
      ManifestJson(kConfig, "").insert(1, Cat(R"("a\"b":")", quoted, R"(",)")), kOciManifest));
}

TEST(Manifest, HostileTextIsNotRepeated) {
  auto manifest =
      ParseManifest(ManifestJson(kConfig, DescriptorJson("evil\\u001b[2J\\n")), kOciManifest);
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().message().find('\x1b'), std::string::npos);
  EXPECT_EQ(manifest.error().message().find('\n'), std::string::npos);
}

TEST(Kind, ByTypeThenByContent) {
  std::string_view two = R"({"schemaVersion":2})";
  EXPECT_EQ(*KindOf(kOciIndex, two), DocumentKind::kIndex);
  EXPECT_EQ(*KindOf(Cat(kDockerManifest, "; charset=utf-8"), two), DocumentKind::kManifest);
  EXPECT_EQ(
      *KindOf("application/json", Cat(R"({"schemaVersion":2,"mediaType":")", kDockerList, R"("})")),
      DocumentKind::kIndex);
  EXPECT_EQ(*KindOf("", R"({"schemaVersion":2,"layers":[]})"), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf("", R"({"schemaVersion":2,"manifests":[]})"), DocumentKind::kIndex);
  for (std::string_view json : {"{}", R"({"schemaVersion":1})"}) {
    auto schema1 = KindOf("application/vnd.docker.distribution.manifest.v1+prettyjws", json);
    ASSERT_FALSE(schema1);
    EXPECT_NE(schema1.error().message().find("schema 1"), std::string::npos);
  }
  EXPECT_EQ(KindOf("", R"({"schemaVersion":1,"fsLayers":[]})").error().code(), Errc::kUnsupported);
  auto html = KindOf("text/html", "{}");
  ASSERT_FALSE(html);
  EXPECT_NE(html.error().message().find("text/html"), std::string::npos);
  EXPECT_FALSE(KindOf("", "<html>"));
}

TEST(Kind, DocumentsWithTwoMeaningsAreRefused) {
  EXPECT_FALSE(KindOf("", R"({"schemaVersion":2,"layers":[],"manifests":[]})"));
  EXPECT_FALSE(KindOf(kOciManifest, R"({"schemaVersion":2,"manifests":[]})"));
  EXPECT_FALSE(KindOf(kOciIndex, R"({"schemaVersion":2,"manifests":[],"config":{}})"));
  auto two = KindOf(kOciManifest,
                    Cat(R"({"schemaVersion":2,"mediaType":")", kOciIndex, R"(","manifests":[]})"));
  ASSERT_FALSE(two);
  EXPECT_NE(two.error().message().find("says itself"), std::string::npos) << two.error().message();
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
  EXPECT_FALSE(SelectManifest(ArmIndex({"v7"}), {"linux", "arm", "v6"}))
      << "a Pi Zero cannot run ARMv7 code";
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
  EXPECT_NE(missing.error().message().find("linux/arm/v7, windows/amd64"), std::string::npos)
      << missing.error().message();
  EXPECT_EQ(missing.error().message().find("unknown"), std::string::npos);
}

TEST(Select, EntryWithoutPlatformWhenThereIsNothingElse) {
  Index index;
  index.manifests.push_back({{"nameless", {}, 0}, {}});
  EXPECT_EQ(SelectManifest(index, {"linux", "arm64", "v8"})->media_type, "nameless");
  index.manifests.push_back({{"other", {}, 0}, {"linux", "s390x", ""}});
  EXPECT_FALSE(SelectManifest(index, {"linux", "arm64", "v8"}));
}

TEST(Select, ErrorStaysShort) {
  Index index;
  for (int i = 0; i < 1000; ++i)
    index.manifests.push_back({{"x", {}, 0}, {std::string(5000, '\n'), Cat("arch", i), ""}});
  auto missing = SelectManifest(index, {"linux", "arm64", "v8"});
  ASSERT_FALSE(missing);
  EXPECT_LT(missing.error().message().size(), 3000u);
  EXPECT_NE(missing.error().message().find("and 980 more"), std::string::npos);
  EXPECT_EQ(missing.error().message().find('\n'), std::string::npos);
}

TEST(ImageConfig, ReadsWhatTheEngineNeeds) {
  auto config =
      ParseImageConfig(Cat(R"({"architecture":"arm64","os":"linux","created":"2026-01-01T00:00:00Z",
    "config":{"User":"1000:1000","Env":["A=b"],"Entrypoint":"/init","Cmd":["x","y"],"WorkingDir":"/w",
    "Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"StopSignal":"SIGQUIT"},
    "rootfs":{"type":"layers","diff_ids":[")",
                           kDigest, R"("]}})"));
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->diff_ids.size(), 1u);
  EXPECT_EQ(config->entrypoint, std::vector<std::string>{"/init"});
  EXPECT_EQ(config->volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(config->labels["k"], "v");
}

TEST(ImageConfig, NullIsAbsent) {
  auto config = ParseImageConfig(
      R"({"config":{"Env":null,"Cmd":null,"Labels":null,"Volumes":null},"rootfs":null})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_TRUE(config->env.empty());
  EXPECT_TRUE(ParseImageConfig(R"({"config":null})"));
}

TEST(ImageConfig, WrongTypesAreRefusedAsGoDoes) {
  for (std::string_view bad :
       {R"({"rootfs":{"diff_ids":["sha256:zz"]}})", R"({"rootfs":{"diff_ids":[7]}})",
        R"({"rootfs":{"diff_ids":"x"}})", R"({"config":7})", R"({"config":{"Cmd":7}})",
        R"({"config":{"Env":["A=b",1]}})", R"({"config":{"Labels":[]}})",
        R"({"config":{"Labels":{"a":1}}})", R"({"config":{"Volumes":"x"}})",
        R"({"config":{"User":0}})", R"({"os":1})"}) {
    auto config = ParseImageConfig(bad);
    ASSERT_FALSE(config) << bad;
    EXPECT_EQ(config.error().code(), Errc::kInvalid);
  }
}

}  // namespace
}  // namespace wherry::oci
