// Deltas between layers: the operations, behind a valid head and compressed as they have to be.
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "store/tar_delta.h"

namespace {

class MemorySource : public wherry::ByteSource {
 public:
  explicit MemorySource(std::string data) : data_(std::move(data)) {}

  wherry::Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min(out.size(), data_.size() - at_);
    if (count > 0)
      memcpy(out.data(), data_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::string data_;
  size_t at_ = 0;
};

class OneFile final : public wherry::store::LayerFiles {
 public:
  wherry::Result<wherry::store::LayerFile> Open(std::string_view path) override {
    if (path.starts_with('x'))
      return wherry::Fail(wherry::Errc::kNotFound, "the layer has no such file");
    return wherry::store::LayerFile(std::string(1000, 'f'));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string delta(wherry::store::kTarDeltaMagic);
  std::string packed(ZSTD_compressBound(size), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), data, size, 1));
  MemorySource source(delta + packed);
  wherry::store::TarDeltaSource applied(source, std::make_unique<OneFile>(), {});
  std::byte out[777];
  for (int reads = 0; reads < 10'000; ++reads) {
    auto count = applied.Read(out);
    if (!count || *count == 0)
      return 0;
  }
  return 0;
}
