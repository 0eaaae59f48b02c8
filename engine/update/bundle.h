// A bundle: a signed release and its images in one file, for devices without a network. It is a tar
// archive that begins with "release.json" and goes on as an OCI layout; docs/releases.md.
#pragma once

#include <string>

#include "core/base/byte_source.h"
#include "core/base/result.h"

namespace wherry::engine {

// The release's document, not verified. What is left of `bundle` is a tar archive of its own.
// kInvalid for what does not begin like a bundle or ends in the middle of the release.
Result<std::string> ReadBundledRelease(ByteSource& bundle);

}  // namespace wherry::engine
