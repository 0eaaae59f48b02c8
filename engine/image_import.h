// An image of one layer made of an archive of files: docker import. Worker.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/byte_source.h"
#include "engine/image_writer.h"
#include "engine/images.h"

namespace wherry::engine {

struct ImportRequest {
  std::optional<registry::Reference> name;
  std::string comment;
  std::vector<std::string> changes;  // lines of a Dockerfile
};
// `archive`: tar, plain or compressed with gzip or zstd. Errors of Transaction::AddLayer; kInvalid
// for changes that are none.
Result<WrittenImage> ImportImage(Images& images, ByteSource& archive, const ImportRequest& request,
                                 const CancelFlag& cancel);

}  // namespace wherry::engine
