#include "core/base/digest.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry {
namespace {

constexpr std::string_view kEmpty =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr std::string_view kAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Digest, KnownVectors) {  // FIPS 180-4
  EXPECT_EQ(Digest::Of("").hex(), kEmpty);
  EXPECT_EQ(Digest::Of("abc").string(), Cat("sha256:", kAbc));
  EXPECT_EQ(Digest::Of(std::string(1'000'000, 'a')).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Hasher, PiecesGiveTheSame) {
  std::string text(1000, 'x');
  for (size_t step : {1u, 7u, 64u, 333u}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += step) {
      hasher.Update(std::string_view(text).substr(at, step));
    }
    EXPECT_EQ(hasher.Finish(), Digest::Of(text));
  }
  Hasher empty;
  empty.Update(std::span<const std::byte>());
  EXPECT_EQ(empty.Finish().hex(), kEmpty);
}

TEST(Hasher, MovesAndRestarts) {
  Hasher first;
  first.Update("ab");
  Hasher second = std::move(first);
  second.Update("c");
  EXPECT_EQ(second.Finish().hex(), kAbc);
  second = Hasher();
  EXPECT_EQ(second.Finish().hex(), kEmpty);
}

TEST(Digest, ParseIsStrict) {
  std::string good = Cat("sha256:", kAbc);
  EXPECT_EQ(Digest::Parse(good)->string(), good);
  EXPECT_EQ(Digest::ParseHex(kAbc)->hex(), kAbc);
  EXPECT_EQ(Digest::Parse(Cat("sha512:", kAbc, kAbc)).error().code(), Errc::kUnsupported);
  std::string upper = good;
  upper[10] = 'A';
  std::string nul = good;
  nul.back() = '\0';
  for (const std::string& bad :
       {std::string(), std::string("sha256:"), good + "0", good.substr(0, 70), upper,
        Cat("SHA256:", kAbc), std::string(kAbc), Cat(" ", good), nul, good + "\n",
        std::string("sha256:../../../../etc/passwd")}) {
    auto result = Digest::Parse(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
  }
}

TEST(Digest, NoneAndOrder) {
  EXPECT_TRUE(Digest().none());
  EXPECT_FALSE(Digest::Of("").none());
  EXPECT_LT(Digest(), Digest::Of(""));
  EXPECT_EQ(Digest::Of("a"), Digest::Of("a"));
}

TEST(Hasher, GoesOnFromASavedState) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text += std::to_string(i * 7919);
  for (size_t cut :
       {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{640}, text.size()}) {
    Hasher first;
    first.Update(std::string_view(text).substr(0, cut));
    auto second = Hasher::Restore(first.Save());
    ASSERT_TRUE(second);
    second->Update(std::string_view(text).substr(cut));
    EXPECT_EQ(second->Finish(), Digest::Of(text)) << cut;
  }
  std::string saved = Hasher().Save();
  EXPECT_FALSE(Hasher::Restore(saved + "x"));
  EXPECT_FALSE(Hasher::Restore(saved.substr(1)));
  EXPECT_FALSE(Hasher::Restore(""));
}

}  // namespace
}  // namespace wherry
