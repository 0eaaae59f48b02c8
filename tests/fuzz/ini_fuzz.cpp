// Configuration files: any text parses or is refused with its line.
#include <cstdint>

#include "core/base/ini.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t entries = 0;
  (void)wherry::ParseIni(text, "fuzz.conf", [&entries](const wherry::IniEntry& entry) {
    entries += entry.key.size();
    return wherry::Result<>();
  });
  return 0;
}
