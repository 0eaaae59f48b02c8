// Annotations of a layer that tell where in its blob the table of contents is (zstd:chunked of
// containers/storage, pkg/chunked; no specification of OCI's). Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/digest.h"
#include "core/base/json.h"

namespace wherry::oci {

struct BlobPosition {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t unpacked_size = 0;
};

// Of a layer that can be put together from its parts: with tar-split, without which its archive
// cannot be had from them. Positions are as the manifest says, unchecked.
struct LayerParts {
  BlobPosition toc;
  Digest toc_digest;  // of the compressed bytes
  BlobPosition tar_split;
};

// Nothing for other layers and for annotations that are malformed or of another type: such layers
// are fetched whole.
std::optional<LayerParts> ParseLayerParts(JsonValue annotations);

}  // namespace wherry::oci
