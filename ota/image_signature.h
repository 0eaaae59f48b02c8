// Signatures of images, as cosign makes them with a key. Both forms it has: the Sigstore bundle
// (since version 3), and the older "simple signing" payload. Certificates and the transparency log
// are not looked at: the key is the policy. A signature says nothing of freshness or of the
// repository: which image is wanted is the release's matter. Pure.
//
// cosign: specs/BUNDLE_SPEC.md, specs/SIGNATURE_SPEC.md.
#pragma once

#include <span>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "ota/key.h"

namespace wherry::ota {

// `image` is the digest of what the name leads to: an index where there is one.
// Of all: kInvalid for what is no such document, also with a name twice in one object; kDenied for
// none of `keys`, and for a valid signature of something else.

// `json`: application/vnd.dev.sigstore.bundle.v0.3+json.
Result<> CheckBundle(std::string_view json, const Digest& image, std::span<const PublicKey> keys);

// `payload`: application/vnd.dev.cosign.simplesigning.v1+json; `signature` in base64, from the
// annotation dev.cosignproject.cosign/signature.
Result<> CheckSimpleSigning(std::string_view payload, std::string_view signature,
                            const Digest& image, std::span<const PublicKey> keys);

}  // namespace wherry::ota
