// Text in a fixed buffer, for a program without a heap: what does not fit is cut off. Part of wherry-shim.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace wherry::shim {

template <size_t kCapacity>
class FixedText {
 public:
  FixedText& Add(const char* text) { return Add(text, strlen(text)); }

  FixedText& Add(const char* text, size_t size) {
    size_t room = kCapacity - size_;
    size_t taken = size < room ? size : room;
    memcpy(data_ + size_, text, taken);
    size_ += taken;
    return *this;
  }

  FixedText& AddNumber(uint64_t number) {
    char digits[20];
    size_t count = 0;
    do {
      digits[sizeof digits - ++count] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return Add(digits + sizeof digits - count, count);
  }

  // Decimal with leading zeros.
  FixedText& AddPadded(uint32_t number, int width) {
    for (uint32_t divisor = Power10(width - 1); divisor != 0; divisor /= 10) {
      char digit = static_cast<char>('0' + number / divisor % 10);
      Add(&digit, 1);
    }
    return *this;
  }

  // A terminated string; the last character gives way when the buffer is full.
  const char* c_str() {
    if (size_ == kCapacity) --size_;
    data_[size_] = '\0';
    return data_;
  }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  void Clear() { size_ = 0; }
  void Truncate(size_t size) { size_ = size; }

 private:
  static uint32_t Power10(int exponent) {
    uint32_t power = 1;
    while (exponent-- > 0) power *= 10;
    return power;
  }

  size_t size_ = 0;
  char data_[kCapacity];
};

}  // namespace wherry::shim
