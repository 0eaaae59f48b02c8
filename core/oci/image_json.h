// What the documents of images have in common. Internal to core/oci.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::oci {

// Text of a document as a message may show it: printable and short.
std::string Shown(std::string_view text);

// A JSON object of at most `limit` bytes and a bounded number of values.
Result<JsonDocument> ParseDocument(std::string_view json, std::string_view what, size_t limit);

Result<Descriptor> ParseDescriptor(JsonValue value, std::string_view what);

}  // namespace wherry::oci
