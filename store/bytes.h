// Numbers in the store's binary files: little endian, and LEB128 for those that are mostly small.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wherry::store {

template <class Integer>
void PutInt(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof value; ++i)
    out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
}

inline void PutVar(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

inline void PutText(std::string& out, std::string_view text) {
  PutVar(out, text.size());
  out += text;
}

// Reads from the front of a view. After the first thing that is not there, ok() is false and
// everything reads as empty.
class BytesReader {
 public:
  explicit BytesReader(std::string_view bytes) : rest_(bytes) {}

  std::string_view Take(uint64_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string_view taken = rest_.substr(0, static_cast<size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  template <class Integer>
  Integer Int() {
    uint64_t value = 0;
    std::string_view bytes = Take(sizeof(Integer));
    for (size_t i = 0; i < bytes.size(); ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return static_cast<Integer>(value);
  }

  uint64_t Var() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      auto byte = Int<uint8_t>();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0)
        return value;
    }
    ok_ = false;
    return 0;
  }

  std::string_view Text() { return Take(Var()); }

  bool ok() const { return ok_; }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace wherry::store
