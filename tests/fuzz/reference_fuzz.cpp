// Image references as users and images write them.
#include <cstdint>

#include "net/registry/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)wherry::registry::Reference::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
