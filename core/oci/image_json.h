// What the documents of images have in common. Internal to core/oci.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::oci {

// Text of a document as a message may show it: printable and short.
std::string Shown(std::string_view text);

enum class Root : uint8_t { kObject, kArray };
// A JSON document of at most `limit` bytes and a bounded number of values, whose root is a `root`;
// kInvalid otherwise. `what` names it.
Result<JsonDocument> ParseDocument(std::string_view json, std::string_view what, size_t limit,
                                   Root root = Root::kObject);

Result<Descriptor> ParseDescriptor(JsonValue value, std::string_view what);

}  // namespace wherry::oci
