#include "core/base/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>

#include "core/base/text.h"

namespace wherry {
namespace {

// Numbers as text, in pieces of changing sizes; then the end or an error.
class Numbers final : public ByteSource {
 public:
  Numbers(int count, bool fails) : count_(count), fails_(fails) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    ++reads_;
    if (next_ == count_) {
      if (fails_)
        return Fail(Errc::kIo, "broken");
      return 0;
    }
    std::string text = Cat(next_, "\n").substr(given_);
    size_t size = std::min(text.size(), out.size());
    memcpy(out.data(), text.data(), size);
    given_ += size;
    if (size == text.size()) {
      ++next_;
      given_ = 0;
    }
    return size;
  }
  int reads() const { return reads_; }

 private:
  const int count_;
  const bool fails_;
  int next_ = 0;
  size_t given_ = 0;  // of the next number
  std::atomic<int> reads_ = 0;
};

TEST(ReadAhead, GivesAllBytesInOrder) {
  for (size_t piece : {size_t{7}, size_t{100'000}}) {
    Numbers numbers(200'000, false);
    ReadAhead source(numbers);
    std::string all;
    std::vector<std::byte> buffer(piece);
    for (;;) {
      auto count = source.Read(buffer);
      ASSERT_TRUE(count);
      if (*count == 0)
        break;
      all.append(reinterpret_cast<const char*>(buffer.data()), *count);
    }
    EXPECT_TRUE(all.starts_with("0\n1\n2\n"));
    EXPECT_TRUE(all.ends_with("\n199999\n"));
    auto again = source.Read(buffer);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, 0u);
  }
}

TEST(ReadAhead, AnErrorComesAfterWhatWasBeforeIt) {
  Numbers numbers(3, true);
  ReadAhead source(numbers);
  std::string all;
  std::byte buffer[4];
  for (;;) {
    auto count = source.Read(buffer);
    if (!count) {
      EXPECT_EQ(count.error().message(), "broken");
      break;
    }
    ASSERT_GT(*count, 0u);
    all.append(reinterpret_cast<const char*>(buffer), *count);
  }
  EXPECT_EQ(all, "0\n1\n2\n");
}

TEST(ReadAhead, ReadsNoFurtherThanItsBuffers) {
  Numbers numbers(10'000'000, false);
  {
    ReadAhead source(numbers);
    std::byte buffer[2];
    ASSERT_TRUE(source.Read(buffer));
  }
  // 5 blocks of 64 KiB of lines of at least 2 bytes.
  EXPECT_LE(numbers.reads(), 5 * 65536 / 2);
}

TEST(ReadAhead, StopsWithoutBeingRead) {
  Numbers numbers(10'000'000, false);
  ReadAhead source(numbers);
  source.Stop();
  int reads = numbers.reads();
  source.Stop();
  EXPECT_EQ(numbers.reads(), reads);
}

}  // namespace
}  // namespace wherry
