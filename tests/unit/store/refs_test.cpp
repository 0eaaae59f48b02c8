#include "store/refs.h"

#include <gtest/gtest.h>

#include "store/image_record.h"

namespace wherry::store {
namespace {

TEST(Refs, RoundTrip) {
  RefMap refs = {{"docker.io/library/nginx:1", Digest::Of("a")},
                 {"host:5000/x@sha256:00", Digest::Of("b")}};
  EXPECT_EQ(*DecodeRefs(EncodeRefs(refs)), refs);
  EXPECT_TRUE(DecodeRefs(EncodeRefs({}))->empty());
}

TEST(Refs, DamageIsFound) {
  std::string content = EncodeRefs({{"a", Digest::Of("a")}});
  for (size_t i = 0; i < content.size(); ++i) {
    std::string damaged = content;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(DecodeRefs(damaged).error().code(), Errc::kCorrupt) << i;
    EXPECT_FALSE(DecodeRefs(content.substr(0, i))) << i;
  }
  for (const char* body : {"x", "x\n", "sha256:00 a\n", " \n"}) {
    EXPECT_EQ(DecodeRefs(WithChecksum("wherry-refs", body)).error().code(), Errc::kCorrupt) << body;
  }
}

TEST(Refs, Names) {
  EXPECT_TRUE(CheckRefName("docker.io/library/nginx:1"));
  EXPECT_TRUE(CheckRefName(std::string(1024, 'a')));
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a\nb"),
                                  std::string("a\x7f"), std::string(1025, 'a')}) {
    EXPECT_FALSE(CheckRefName(name)) << name;
  }
}

}  // namespace
}  // namespace wherry::store
