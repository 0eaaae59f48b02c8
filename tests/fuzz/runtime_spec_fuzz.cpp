// The OCI runtime configuration of a bundle.
#include <cstdint>

#include "core/oci/runtime_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)wherry::oci::RuntimeSpec::Parse(
      std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
