// Layer archives: every entry and all of its data is read.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "store/tar_reader.h"

namespace {

class MemorySource : public wherry::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> data) : data_(data) {}

  wherry::Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min(out.size(), data_.size());
    if (count > 0) {
      memcpy(out.data(), data_.data(), count);
    }
    data_ = data_.subspan(count);
    return count;
  }

 private:
  std::span<const uint8_t> data_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemorySource source({data, size});
  wherry::store::TarReader reader(source);
  wherry::store::TarEntry entry;
  while (true) {
    auto more = reader.Next(entry);
    if (!more || !*more) {
      return 0;
    }
    while (true) {
      auto piece = reader.Data();
      if (!piece || piece->bytes.empty()) {
        break;
      }
    }
  }
}
