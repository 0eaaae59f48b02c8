// A signed release in a registry: an OCI artifact (image-spec 1.1, "Guidelines for Artifact Usage")
// with the release's document as its one layer. Blocking.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/oci/image_spec.h"
#include "net/registry/credentials.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"

namespace wherry::ota {

// `to` with the digest of what was pushed.
Result<registry::Reference> PushRelease(const registry::Options& options,
                                        const registry::Reference& to,
                                        registry::Credentials credentials,
                                        std::string_view envelope);

// The document, not verified. `cancelled` is borrowed and may be null. kInvalid for an image or an
// artifact of another type.
Result<std::string> PullRelease(const registry::Options& options, const registry::Reference& from,
                                registry::Credentials credentials,
                                const std::atomic<bool>* cancelled);

// The one layer of an artifact's manifest, whatever types it says it has. `what` is named in
// errors.
Result<oci::Descriptor> OnlyLayer(std::string_view manifest, std::string_view what);

}  // namespace wherry::ota
