// JSON: any text parses or is refused; what parsed is written as text that parses again to the
// same.
#include <cstdint>
#include <cstdlib>

#include "core/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using wherry::JsonDocument;
  auto document =
      JsonDocument::Parse({reinterpret_cast<const char*>(data), size}, "fuzzed document");
  if (!document) {
    return 0;
  }
  std::string dump = document->root().Dump();
  auto again = JsonDocument::Parse(dump, "dump");
  if (!again || again->root().Dump() != dump) {
    abort();
  }
  return 0;
}
