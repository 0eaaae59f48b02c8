#include "store/image_record.h"

#include <gtest/gtest.h>

namespace wherry::store {
namespace {

StoredRecord Sample() {
  StoredRecord record;
  record.image.manifest = "{\"m\":1}\n\n\0x";
  record.image.manifest_digest = Digest::Of(record.image.manifest);
  record.image.config = "{\n\n\"c\":2}";
  record.image.media_type = "application/vnd.oci.image.manifest.v1+json";
  record.image.created_unix_nanos = 1700000000123456789;
  record.image.layers = {{Digest::Of("a"), 10}, {Digest::Of("b"), 5'000'000'000}};
  record.refs = {"docker.io/library/x:1"};
  return record;
}

TEST(ImageRecord, RoundTrip) {
  StoredRecord record = Sample();
  auto decoded = DecodeRecord(EncodeRecord(record), record.image.manifest_digest);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->image.manifest, record.image.manifest);
  EXPECT_EQ(decoded->image.config, record.image.config);
  EXPECT_EQ(decoded->image.config_digest, Digest::Of(record.image.config));
  EXPECT_EQ(decoded->image.media_type, record.image.media_type);
  EXPECT_EQ(decoded->image.created_unix_nanos, record.image.created_unix_nanos);
  EXPECT_EQ(decoded->image.size_bytes, 5'000'000'010u);
  ASSERT_EQ(decoded->image.layers.size(), 2u);
  EXPECT_EQ(decoded->image.layers[1].diff_id, Digest::Of("b"));
  EXPECT_EQ(decoded->refs, record.refs);
}

TEST(ImageRecord, EveryFlippedByteAndEveryTruncationIsFound) {
  StoredRecord record = Sample();
  std::string content = EncodeRecord(record);
  for (size_t i = 0; i < content.size(); ++i) {
    std::string damaged = content;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    auto decoded = DecodeRecord(damaged, record.image.manifest_digest);
    ASSERT_FALSE(decoded) << i;
    EXPECT_EQ(decoded.error().code(), Errc::kCorrupt);
    EXPECT_FALSE(DecodeRecord(content.substr(0, i), record.image.manifest_digest)) << i;
  }
}

TEST(ImageRecord, MustMatchItsName) {
  EXPECT_EQ(DecodeRecord(EncodeRecord(Sample()), Digest::Of("other")).error().code(),
            Errc::kCorrupt);
}

TEST(ImageRecord, PassesOverWhatNewerVersionsAdd) {
  StoredRecord record = Sample();
  std::string content = EncodeRecord(record);
  std::string body = "new-thing 1 2 3\n" + content.substr(content.find('\n') + 1);
  EXPECT_TRUE(DecodeRecord(WithChecksum("wherry-image", body), record.image.manifest_digest));
}

TEST(ImageRecord, MalformedThoughChecksummed) {
  Digest name = Digest::Of("x");
  for (const char* body :
       {"", "\n", "manifest 1\n\nx", "manifest 1\nconfig 0\n\n", "manifest 1\nconfig 0\n\nxy",
        "manifest -1\nconfig 2\n\nx", "manifest 18446744073709551615\nconfig 2\n\nx",
        "manifest 1\nconfig 0\nx", "layer x 1\nmanifest 1\nconfig 0\n\nx",
        "layer\nmanifest 1\nconfig 0\n\nx"}) {
    EXPECT_FALSE(DecodeRecord(WithChecksum("wherry-image", body), name)) << body;
  }
  EXPECT_TRUE(DecodeRecord(WithChecksum("wherry-image", "manifest 1\nconfig 0\n\nx"), name));
}

}  // namespace
}  // namespace wherry::store
