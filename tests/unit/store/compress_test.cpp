#include "store/compress.h"

#include <gtest/gtest.h>

#include "store/decompress.h"
#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

std::string ReadToEnd(ByteSource& source, size_t step) {
  std::string all;
  std::string piece(step, '\0');
  for (;;) {
    auto count = source.Read(std::as_writable_bytes(std::span(piece)));
    EXPECT_TRUE(count) << count.error().message();
    if (!count || *count == 0)
      return all;
    all.append(piece, 0, *count);
  }
}

std::string Packed(const std::string& content, size_t in_step, size_t out_step) {
  StringSource source(content, in_step);
  auto packed = Compress(source);
  return ReadToEnd(**packed, out_step);
}

TEST(Compress, ComesBackWhateverTheSteps) {
  std::string mixed;
  for (int i = 0; i < 50'000; ++i)
    mixed += std::to_string(i * 7919 % 10007);
  for (const std::string& content :
       {std::string(), std::string("x"), mixed, std::string(3 << 20, 'a')}) {
    std::string packed = Packed(content, 1 << 20, 4096);
    EXPECT_EQ(Packed(content, 777, 1), packed) << "the same content gives the same bytes";
    StringSource source(packed);
    auto plain = Decompress(source, Compression::kGzip, Limits{.max_expansion = 100'000});
    ASSERT_TRUE(plain);
    EXPECT_EQ(ReadToEnd(**plain, 65536), content);
  }
}

TEST(Compress, PassesErrorsOn) {
  StringSource source("content");
  source.FailAtEnd(Errc::kUnavailable);
  auto packed = Compress(source);
  std::string piece(4096, '\0');
  auto count = (*packed)->Read(std::as_writable_bytes(std::span(piece)));
  if (count)  // the header
    count = (*packed)->Read(std::as_writable_bytes(std::span(piece)));
  ASSERT_FALSE(count);
  EXPECT_EQ(count.error().code(), Errc::kUnavailable);
}

}  // namespace
}  // namespace wherry::store
