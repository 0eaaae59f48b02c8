// Which images have to be signed, and the way from an image to its signatures in its repository.
// docs/signatures.md.
#pragma once

#include <map>
#include <string>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "net/registry/client.h"

namespace wherry::engine {

// Prefix of names ("registry.example/team", "*" for all) to the directory of keys, one of which has
// to have signed what is below it; an empty directory: nothing is asked.
using SignaturePolicy = std::map<std::string, std::string>;

// The rule of the longest prefix that ends where a part of the name does; empty when there is none.
const std::string& KeysFor(const SignaturePolicy& policy, const registry::Reference& image);

// Where an image's signatures are. Blocking. Documents are compared with their digests; what is not
// there is empty for the first two, an error for the others.
class SignatureSource {
 public:
  virtual ~SignatureSource() = default;
  // The index of what refers to the image (distribution-spec 1.1, "Listing Referrers").
  virtual Result<std::string> Referrers(const Digest& image) = 0;
  // The manifest under the image's own tag for signatures, SignatureTag.
  virtual Result<std::string> Tagged(const Digest& image) = 0;
  virtual Result<std::string> Manifest(const Digest& digest) = 0;
  virtual Result<std::string> Blob(const oci::Descriptor& blob) = 0;
};
std::string SignatureTag(const Digest& image);  // "sha256-HEX.sig"
std::string ReferrersTag(const Digest& image);  // "sha256-HEX", of registries without such a list
// In an archive: below this the first two, under those names; the others are blobs of its layout.
inline constexpr std::string_view kSignatures = "signatures/";

// In the image's repository.
class RegistrySignatures : public SignatureSource {
 public:
  explicit RegistrySignatures(registry::Client& client) : client_(client) {}
  Result<std::string> Referrers(const Digest& image) override;
  Result<std::string> Tagged(const Digest& image) override;
  Result<std::string> Manifest(const Digest& digest) override;
  Result<std::string> Blob(const oci::Descriptor& blob) override;

 private:
  registry::Client& client_;
};

// `digest` is what the reference leads to. kDenied saying why when none of the image's signatures
// is by a key in `keys`; errors of the source as they are.
Result<> CheckSigned(SignatureSource&& source, const registry::Reference& image,
                     const Digest& digest, const std::string& keys);

// Asks the source for all that a check may look at, whatever its keys.
Result<> ReadSignatures(SignatureSource& source, const Digest& image);

}  // namespace wherry::engine
