#include "core/shim/fixed_text.h"

namespace wherry::shim {

TextAppender& TextAppender::Add(const char* text, size_t size) {
  size_t room = capacity_ - size_;
  size_t taken = size < room ? size : room;
  memcpy(data_ + size_, text, taken);
  size_ += taken;
  return *this;
}

TextAppender& TextAppender::AddNumber(uint64_t number) {
  char digits[20];
  size_t count = 0;
  do {
    digits[sizeof digits - ++count] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return Add(digits + sizeof digits - count, count);
}

TextAppender& TextAppender::AddPadded(uint32_t number, int width) {
  char digits[10];
  for (int i = width; i-- > 0; number /= 10)
    digits[i] = static_cast<char>('0' + number % 10);
  return Add(digits, static_cast<size_t>(width));
}

const char* TextAppender::c_str() {
  if (size_ == capacity_)
    --size_;
  data_[size_] = '\0';
  return data_;
}

uint64_t ReadNumber(const char* text) {
  uint64_t number = 0;
  while (*text >= '0' && *text <= '9')
    number = number * 10 + static_cast<uint64_t>(*text++ - '0');
  return number;
}

}  // namespace wherry::shim
