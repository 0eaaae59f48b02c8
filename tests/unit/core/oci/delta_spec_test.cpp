#include "core/oci/delta_spec.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

std::string DigestOf(char c) {
  return Cat("sha256:", std::string(64, c));
}
const Digest kTarget = *Digest::Parse(DigestOf('a'));

std::string Entry(std::string_view type, std::string_view annotations,
                  std::string_view digest = DigestOf('d')) {
  return Cat(R"({"mediaType":")", type, R"(","digest":")", digest, R"(","size":7,"annotations":)",
             annotations, "}");
}
std::string For(char target) {
  return Cat(R"({")", kDeltaTarget, R"(":")", DigestOf(target), R"("})");
}
std::string FromTo(std::string_view from, std::string_view to) {
  return Cat(R"({")", kDeltaFrom, R"(":")", from, R"(",")", kDeltaTo, R"(":")", to, R"("})");
}
std::string IndexOf(std::string_view entries) {
  return Cat(R"({"schemaVersion":2,"manifests":[)", entries, "]}");
}
std::string ManifestOf(std::string_view layers, std::string_view more = "") {
  return Cat(R"({"schemaVersion":2,)", more, R"("layers":[)", layers, "]}");
}

TEST(DeltaManifests, AreThoseForTheImage) {
  auto found = DeltaManifests(
      IndexOf(Cat(Entry(kOciManifest, For('b'), DigestOf('1')), ",",
                  Entry(kOciManifest, For('a'), DigestOf('2')), ",",
                  Entry("vnd.redhat.delta.manifest.v1+json", For('a'), DigestOf('3')))),
      kTarget);
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[0].digest.string(), DigestOf('2'));
  EXPECT_EQ((*found)[1].digest.string(), DigestOf('3'));
}

TEST(DeltaManifests, OfAListWithoutAnnotationsAreThoseOfTheType) {
  auto entry = [](std::string_view type, char digest, std::string_view more) {
    return Cat(R"({"mediaType":")", kOciManifest, R"(","size":7,"artifactType":")", type,
               R"(","digest":")", DigestOf(digest), "\"", more, "}");
  };
  auto found = DeltaManifests(
      IndexOf(Cat(entry(kDeltaConfig, '1', ""), ",", entry("application/x", '2', ""), ",",
                  entry(kDeltaConfig, '3', Cat(R"(,"annotations":)", For('b'))))),
      kTarget);
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ((*found)[0].digest.string(), DigestOf('1'));
}

TEST(DeltaManifests, PassOverWhatIsNotUnderstood) {
  auto found = DeltaManifests(
      IndexOf(Cat(R"(1,null,[],{},{"annotations":7},)", Entry(kOciManifest, R"({"x":1})"), ",",
                  Entry(kOciManifest, Cat(R"({")", kDeltaTarget, R"(":["x"]})")), ",",
                  Entry(kOciManifest, For('a'), "sha512:00"), ",",
                  Entry(kOciManifest, For('a'), "../../x"))),
      kTarget);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_TRUE(found->empty());
}

TEST(DeltaManifests, RefuseOtherDocuments) {
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("{}"),
        std::string(R"({"manifests":{}})"), std::string(R"({"manifests":"x"})")}) {
    auto found = DeltaManifests(json, kTarget);
    ASSERT_FALSE(found) << json.substr(0, 50);
    EXPECT_EQ(found.error().code(), Errc::kInvalid);
  }
  std::string many = "1";
  for (int i = 0; i < 10'000; ++i)
    many += ",1";
  EXPECT_FALSE(DeltaManifests(IndexOf(many), kTarget));
}

TEST(ParseDeltas, TakesThoseInTheFormat) {
  auto deltas = ParseDeltas(
      ManifestOf(Cat(Entry(kTarDiff, FromTo(DigestOf('1'), DigestOf('2'))), ",",
                     Entry("application/vnd.other", FromTo(DigestOf('1'), DigestOf('2'))), ",",
                     Entry(kTarDiff, FromTo("x", DigestOf('2'))), ",",
                     Entry(kTarDiff, FromTo(DigestOf('1'), "")), ",", Entry(kTarDiff, "{}"), ",",
                     Entry(kTarDiff, "[]"), ",",
                     Entry(kTarDiff, FromTo(DigestOf('1'), DigestOf('2')), "none"), ",7,null")),
      kTarget);
  ASSERT_TRUE(deltas) << deltas.error().message();
  ASSERT_EQ(deltas->size(), 1u);
  EXPECT_EQ((*deltas)[0].from.string(), DigestOf('1'));
  EXPECT_EQ((*deltas)[0].to.string(), DigestOf('2'));
  EXPECT_EQ((*deltas)[0].descriptor.digest.string(), DigestOf('d'));
  EXPECT_EQ((*deltas)[0].descriptor.size, 7u);
}

TEST(ParseDeltas, RefusesOtherDocuments) {
  for (const std::string& json :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"layers":7})"),
        ManifestOf("", Cat(R"("annotations":)", For('b'), ",")),
        ManifestOf("", Cat(R"("annotations":{")", kDeltaTarget, R"(":1},)"))}) {
    auto deltas = ParseDeltas(json, kTarget);
    ASSERT_FALSE(deltas) << json;
    EXPECT_EQ(deltas.error().code(), Errc::kInvalid);
  }
  EXPECT_TRUE(ParseDeltas(ManifestOf("", Cat(R"("annotations":)", For('a'), ",")), kTarget));
  auto with_subject = [](char digest) {
    return ManifestOf("", Cat(R"("subject":{"digest":")", DigestOf(digest), R"("},)"));
  };
  EXPECT_TRUE(ParseDeltas(with_subject('a'), kTarget));
  EXPECT_FALSE(ParseDeltas(with_subject('b'), kTarget));
  EXPECT_TRUE(ParseDeltas(ManifestOf(""), kTarget));
}

}  // namespace
}  // namespace wherry::oci
