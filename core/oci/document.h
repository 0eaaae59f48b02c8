// Parsing of hostile JSON documents with bounds on size and number of values. Internal to core/oci.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::oci {

enum class Root : uint8_t { kObject, kArray };
// kInvalid for a document that is larger than `limit`, has too many values, is not JSON, or whose
// root is of another type. `what` names it.
Result<JsonDocument> ParseDocument(std::string_view json, std::string_view what, size_t limit,
                                   Root root = Root::kObject);

}  // namespace wherry::oci
