// Layer archives: every entry and all of its data is read.
#include <cstdint>

#include "store/tar_reader.h"
#include "tests/fuzz/memory_source.h"

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
