#include "core/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "core/base/text.h"

namespace wherry {
namespace {

Result<int> Number(bool good) {
  if (!good) {
    return Fail(Errc::kNotFound, "no number");
  }
  return 7;
}

Result<std::string> Text(bool good) {
  int number = TRY(Number(good));
  return Cat("number ", number);
}

Result<> Nothing(bool good) {
  TRY_CTX("ask", Text(good));
  return {};
}

TEST(Result, TryPassesValuesAndErrors) {
  EXPECT_EQ(*Text(true), "number 7");
  EXPECT_EQ(Text(false).error().message(), "no number");
  EXPECT_TRUE(Nothing(true));
  auto failed = Nothing(false);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "ask: no number");
  EXPECT_EQ(failed.error().code(), Errc::kNotFound);
}

TEST(Error, FromErrno) {
  errno = ENOENT;
  auto failed = FailSys("openat", "/var/lib/x");
  EXPECT_EQ(failed.error().message(), "openat(/var/lib/x): No such file or directory");
  EXPECT_EQ(failed.error().code(), Errc::kNotFound);
  EXPECT_EQ(failed.error().error_number(), ENOENT);
  EXPECT_EQ(Error::Sys(ENOSPC, "write").code(), Errc::kNoSpace);
  EXPECT_EQ(Error::Sys(99999, "x").message(), "x: errno 99999");
  EXPECT_EQ(Error::Sys(99999, "x").code(), Errc::kIo);
}

TEST(Error, ContextAndFollowers) {
  Error error =
      Error(Errc::kBusy, "inner").Wrap("outer").FollowedBy(Error(Errc::kIo, "undo failed"));
  EXPECT_EQ(error.message(), "outer: inner; then: undo failed");
  Error copy = error.Clone();
  EXPECT_EQ(copy.message(), error.message());
  EXPECT_EQ(std::move(copy).WithCode(Errc::kDenied).code(), Errc::kDenied);
  EXPECT_EQ(error.code(), Errc::kBusy);
}

TEST(Errc, EveryCodeHasAName) {
  EXPECT_EQ(ErrcName(Errc::kInvalid), "invalid");
  EXPECT_EQ(ErrcName(Errc::kInternal), "internal");
}

TEST(Error, IsOnePointer) {
  EXPECT_EQ(sizeof(Error), sizeof(void*));
}

}  // namespace
}  // namespace wherry
