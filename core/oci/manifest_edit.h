// A manifest whose layers have other archives than those it was made with. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::oci {

// What a layer of a manifest of this type is called. Nothing where the type has no such layers:
// Docker's manifests have none compressed with zstd.
std::optional<std::string_view> LayerType(std::string_view manifest_type,
                                          LayerCompression compression);

// `json` with the layers given here in place of its own; nothing: that layer stays as it is. One
// for each layer of the manifest. All else is kept.
Result<std::string> ReplaceLayers(std::string_view json, std::string_view manifest_type,
                                  std::span<const std::optional<Layer>> layers);

}  // namespace wherry::oci
