// What decoders have in common: their input, and the guard against bombs. Internal to the store.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "core/base/text.h"

namespace wherry::store {

inline constexpr size_t kInputBytes = 64 << 10;
// Below this much output a stream may expand at any rate: a small layer of zeros is no bomb.
inline constexpr uint64_t kFreeExpansion = uint64_t{64} << 20;

// What was read of the input and not yet consumed.
class InputBuffer {
 public:
  // `before`: bytes of the stream before those of `source`.
  explicit InputBuffer(ByteSource& source, uint64_t before = 0)
      : source_(source), storage_(std::make_unique<std::byte[]>(kInputBytes)), before_(before) {}

  std::span<const std::byte> bytes() const { return {storage_.get() + begin_, end_ - begin_}; }
  void Consume(size_t count) { begin_ += count; }
  // All bytes ever consumed.
  uint64_t consumed() const { return before_ + begin_; }

  // Reads once; false at the end of the input. What is there stays.
  Result<bool> Fill() {
    if (begin_ > 0) {
      memmove(storage_.get(), storage_.get() + begin_, end_ - begin_);
      before_ += begin_;
      end_ -= begin_;
      begin_ = 0;
    }
    size_t count = TRY(source_.Read({storage_.get() + end_, kInputBytes - end_}));
    end_ += count;
    return count > 0;
  }

  // Reads until `count` bytes are there or the input has ended.
  Result<> Ensure(size_t count) {
    while (end_ - begin_ < count && TRY(Fill())) {
    }
    return {};
  }

  Result<size_t> ReadThrough(std::span<std::byte> out) {
    if (begin_ == end_) {
      size_t passed = TRY(source_.Read(out));
      before_ += passed;
      return passed;
    }
    size_t count = std::min(out.size(), end_ - begin_);
    memcpy(out.data(), storage_.get() + begin_, count);
    begin_ += count;
    return count;
  }

 private:
  ByteSource& source_;
  std::unique_ptr<std::byte[]> storage_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t before_;
};

// Guards what the decoders give out against decompression bombs.
class ExpansionGuard {
 public:
  explicit ExpansionGuard(uint64_t max_expansion)
      : max_expansion_(std::max<uint64_t>(max_expansion, 1)) {}

  // Of what came before.
  void Begin(uint64_t total) { total_ = total; }
  uint64_t total() const { return total_; }

  Result<> Count(uint64_t produced, uint64_t consumed_total) {
    total_ += produced;
    if (total_ > kFreeExpansion && (total_ - kFreeExpansion) / max_expansion_ > consumed_total) {
      return Fail(Errc::kInvalid, Cat("the compressed data expands more than ", max_expansion_,
                                      " times (a decompression bomb?): ", consumed_total,
                                      " bytes became ", total_));
    }
    return {};
  }

 private:
  uint64_t max_expansion_;
  uint64_t total_ = 0;
};

}  // namespace wherry::store
