// Tables of contents of layers, and with them JSON as a stream.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "store/toc.h"

namespace {

class MemorySource : public wherry::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> data) : data_(data) {}

  wherry::Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min({out.size(), data_.size(), size_t{7}});
    if (count > 0)
      memcpy(out.data(), data_.data(), count);
    data_ = data_.subspan(count);
    return count;
  }

 private:
  std::span<const uint8_t> data_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kEnd = 1 << 20;
  MemorySource source({data, size});
  auto toc = wherry::store::Toc::Parse(source, {}, kEnd);
  if (!toc)
    return 0;
  uint64_t position = 0;
  for (const wherry::store::TocFile& file : toc->files()) {
    if (file.offset < position || file.end <= file.offset || file.end > kEnd || file.size == 0)
      abort();
    position = file.end;
  }
  return 0;
}
