#include "core/oci/archive_spec.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

TEST(CleanPath, StaysInside) {
  EXPECT_EQ(CleanPath("a/b"), "a/b");
  EXPECT_EQ(CleanPath("./a//./b/"), "a/b");
  EXPECT_EQ(CleanPath("..a/b.."), "..a/b..");
  EXPECT_EQ(CleanPath("/a"), "");
  EXPECT_EQ(CleanPath("a/../b"), "");
  EXPECT_EQ(CleanPath(".."), "");
  EXPECT_EQ(CleanPath("."), "");
  EXPECT_EQ(CleanPath(""), "");
}

TEST(DockerFile, WhatIsWrittenReadsBack) {
  std::vector<DockerImage> images{{"blobs/sha256/c", {"a:1", "b:2"}, {"x", "y"}}, {"c2", {}, {}}};
  auto read = ParseDockerFile(DockerFileJson(images));
  ASSERT_TRUE(read) << read.error().message();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].config, "blobs/sha256/c");
  EXPECT_EQ((*read)[0].tags, images[0].tags);
  EXPECT_EQ((*read)[0].layers, images[0].layers);
  EXPECT_TRUE((*read)[1].tags.empty());
  EXPECT_TRUE((*read)[1].layers.empty());
}

TEST(DockerFile, RefusesNonsense) {
  for (const char* text :
       {"", "{}", "[7]", "[{}]", R"([{"Config":7}])", R"([{"Config":""}])",
        R"([{"Config":"/etc/passwd"}])", R"([{"Config":"../c"}])",
        R"([{"Config":"c","Layers":"x"}])", R"([{"Config":"c","Layers":[null]}])",
        R"([{"Config":"c","Layers":["a/../../b"]}])", R"([{"Config":"c","RepoTags":[{}]}])",
        R"([{"Config":"c","RepoTags":{}}])"}) {
    auto read = ParseDockerFile(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), Errc::kInvalid) << text;
  }
  std::string many = R"([{"Config":"c","Layers":["l")";
  for (size_t i = 0; i < kMaxLayers; ++i)
    many += R"(,"l")";
  EXPECT_FALSE(ParseDockerFile(Cat(many, "]}]")));
}

TEST(PlainManifest, IsAManifest) {
  std::vector<PlainLayer> layers{{Digest::Of("one"), 3}, {Digest::Of("two"), uint64_t{9} << 30}};
  std::string json = PlainManifest("{}", layers);
  auto manifest = ParseManifest(json, kOciManifest);
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->config.digest, Digest::Of("{}"));
  EXPECT_EQ(manifest->config.size, 2u);
  ASSERT_EQ(manifest->layers.size(), 2u);
  EXPECT_EQ(manifest->layers[1].descriptor.digest, Digest::Of("two"));
  EXPECT_EQ(manifest->layers[1].descriptor.size, uint64_t{9} << 30);
  EXPECT_EQ(manifest->layers[0].compression, LayerCompression::kNone);
}

TEST(IndexJson, NamesReadBack) {
  std::vector<NamedManifest> manifests{{Digest::Of("m"), 1, "docker.io/library/a:1", "1"},
                                       {Digest::Of("n"), 2, "", ""}};
  auto index = ParseIndex(IndexJson(manifests), "");
  ASSERT_TRUE(index) << index.error().message();
  ASSERT_EQ(index->manifests.size(), 2u);
  EXPECT_EQ(index->manifests[0].full_name, "docker.io/library/a:1");
  EXPECT_EQ(index->manifests[0].ref_name, "1");
  EXPECT_EQ(index->manifests[1].full_name, "");
  EXPECT_EQ(index->manifests[1].descriptor.digest, Digest::Of("n"));
}

}  // namespace
}  // namespace wherry::oci
