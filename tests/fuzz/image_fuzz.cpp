// Documents a registry sends: manifest, index, image configuration.
#include <cstdint>

#include "core/oci/image_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)wherry::oci::KindOf("", text);
  (void)wherry::oci::ParseManifest(text, wherry::oci::kOciManifest);
  (void)wherry::oci::ParseImageConfig(text);
  auto index = wherry::oci::ParseIndex(text, wherry::oci::kOciIndex);
  if (index) {
    (void)wherry::oci::SelectManifest(*index, {});
  }
  return 0;
}
