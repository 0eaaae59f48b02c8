// Signed documents: the Dead Simple Signing Envelope, DSSE 1.0 (secure-systems-lab/dsse), in its
// JSON form. It is what a Sigstore bundle carries too. The signature covers type and payload as
// they are, so nothing is parsed before it has been verified.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "ota/key.h"

namespace wherry::ota {

struct Envelope {
  struct Signature {
    std::string key_id;  // a hint, not signed
    std::string bytes;   // DER
  };

  std::string payload_type;
  std::string payload;
  std::vector<Signature> signatures;

  // kInvalid naming `what` for anything that is no envelope.
  static Result<Envelope> Parse(std::string_view json, std::string_view what);
  static Result<Envelope> FromJson(JsonValue value, std::string_view what);
  std::string ToJson() const;

  Result<> Sign(const PrivateKey& key);
  // The first of `keys` that has signed; null when none has.
  const PublicKey* SignedBy(std::span<const PublicKey> keys) const;
};

// kInvalid when an object anywhere in `value` has a name twice, also in another case: which of the
// two counts is a question two readers of one signed document must not answer differently.
Result<> RefuseDuplicateNames(JsonValue value, std::string_view what);

}  // namespace wherry::ota
