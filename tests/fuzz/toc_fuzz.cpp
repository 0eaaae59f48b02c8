// Tables of contents of layers, and with them JSON as a stream.
#include <cstdint>
#include <cstdlib>

#include "store/toc.h"
#include "tests/fuzz/memory_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kEnd = 1 << 20;
  MemorySource source({data, size}, 7);
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
