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

// Blocking. `digest` is what the reference leads to. kDenied saying why when none of the image's
// signatures is by a key in `keys`; errors of the registry as they are.
Result<> CheckSigned(registry::Client& client, const registry::Reference& image,
                     const Digest& digest, const std::string& keys);

}  // namespace wherry::engine
