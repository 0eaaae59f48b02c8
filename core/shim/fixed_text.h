// Text in a fixed buffer, for a program without a heap: what does not fit is cut off. Part of
// wherry-shim.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace wherry::shim {

// Appends to a buffer of somebody else. The code is here once for all sizes of FixedText.
class TextAppender {
 public:
  TextAppender(char* data, size_t capacity) : data_(data), capacity_(capacity) {}
  TextAppender(const TextAppender&) = delete;
  TextAppender& operator=(const TextAppender&) = delete;

  TextAppender& Add(const char* text) { return Add(text, strlen(text)); }
  TextAppender& Add(const char* text, size_t size);
  TextAppender& AddNumber(uint64_t number);
  // Decimal with leading zeros.
  TextAppender& AddPadded(uint32_t number, int width);

  // A terminated string; the last character gives way when the buffer is full.
  const char* c_str();
  const char* data() const { return data_; }
  size_t size() const { return size_; }
  void Clear() { size_ = 0; }
  void Truncate(size_t size) { size_ = size; }

 private:
  char* data_;
  size_t capacity_;
  size_t size_ = 0;
};

template <size_t kCapacity>
class FixedText : public TextAppender {
 public:
  FixedText() : TextAppender(storage_, kCapacity) {}

 private:
  char storage_[kCapacity];
};

// Decimal digits at the beginning of `text`; no overflow check, the callers' numbers come from
// wherry itself.
uint64_t ReadNumber(const char* text);

}  // namespace wherry::shim
