// Deltas between layers: the operations, behind a valid head and compressed as they have to be.
#include <zstd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "store/tar_delta.h"
#include "tests/fuzz/memory_source.h"

namespace {

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
  delta += packed;
  MemorySource source(delta);
  wherry::store::TarDeltaSource applied(source, std::make_unique<OneFile>(), {});
  std::byte out[777];
  for (int reads = 0; reads < 10'000; ++reads) {
    auto count = applied.Read(out);
    if (!count || *count == 0)
      return 0;
  }
  return 0;
}
