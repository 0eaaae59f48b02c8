#include "store/hashing_source.h"

#include <gtest/gtest.h>

#include "tests/unit/store/tar_builder.h"

namespace wherry::store {
namespace {

TEST(HashingSource, PassesVerifiedContent) {
  StringSource inner("hello world", 3);
  HashingSource source(inner, {"it", Digest::Of("hello world"), 11});
  EXPECT_EQ(*ReadToEnd(source), "hello world");
  EXPECT_TRUE(source.verified());
  EXPECT_EQ(source.bytes(), 11u);
}

TEST(HashingSource, ReportsAnotherDigest) {
  StringSource inner("hello world");
  HashingSource source(inner, {"its blob", Digest::Of("hello"), std::nullopt});
  auto all = ReadToEnd(source);
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code(), Errc::kCorrupt);
  EXPECT_NE(all.error().message().find("its blob does not match its digest"), std::string::npos);
  EXPECT_TRUE(source.failed());
}

TEST(HashingSource, ReportsTooLongAtOnceAndTooShortAtTheEnd) {
  StringSource longer("hello world");
  HashingSource first(longer, {"it", std::nullopt, 5});
  std::byte buffer[8];
  EXPECT_EQ(first.Read(buffer).error().code(), Errc::kCorrupt);

  StringSource shorter("hello");
  HashingSource second(shorter, {"it", std::nullopt, 6});
  auto all = ReadToEnd(second);
  EXPECT_EQ(all.error().message(), "it ended after 5 of 6 bytes");
}

TEST(HashingSource, DrainVerifiesWhatNobodyRead) {
  StringSource inner("hello world");
  HashingSource source(inner, {"it", Digest::Of("hello world"), 11});
  std::byte buffer[2];
  ASSERT_EQ(*source.Read(buffer), 2u);
  EXPECT_TRUE(source.Drain(9));
  EXPECT_TRUE(source.verified());
}

TEST(HashingSource, DrainGivesUpAfterItsLimit) {
  StringSource inner(std::string(100'000, 'x'));
  HashingSource source(inner, {"it", std::nullopt, std::nullopt});
  EXPECT_EQ(source.Drain(10).error().code(), Errc::kInvalid);
}

TEST(HashingSource, PassesErrorsOfItsSource) {
  StringSource inner("abc");
  inner.FailAtEnd(Errc::kUnavailable);
  HashingSource source(inner, {"it", Digest::Of("abc"), 3});
  EXPECT_EQ(ReadToEnd(source).error().code(), Errc::kUnavailable);
  EXPECT_TRUE(source.failed());
}

}  // namespace
}  // namespace wherry::store
