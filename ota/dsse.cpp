#include "ota/dsse.h"

#include <set>

#include "core/base/text.h"

namespace wherry::ota {

namespace {

// More are not looked at: each costs a verification for each key.
constexpr size_t kMaxSignatures = 8;

// "Pre-authentication encoding": what is signed.
std::string Encode(std::string_view type, std::string_view payload) {
  return Cat("DSSEv1 ", type.size(), ' ', type, ' ', payload.size(), ' ', payload);
}

std::unexpected<Error> Bad(std::string_view what, std::string_view why) {
  return Fail(Errc::kInvalid, Cat(what, " is no signed document (DSSE envelope): ", why));
}

}  // namespace

Result<Envelope> Envelope::Parse(std::string_view json, std::string_view what) {
  JsonDocument document = TRY(JsonDocument::Parse(json, what));
  TRY(RefuseDuplicateNames(document.root(), what));
  return FromJson(document.root(), what);
}

Result<Envelope> Envelope::FromJson(JsonValue value, std::string_view what) {
  Envelope envelope;
  envelope.payload_type = value["payloadType"].str();
  if (envelope.payload_type.empty())
    return Bad(what, "payloadType is missing");
  Result<std::string> payload = Base64Decode(value["payload"].str());
  if (!payload || payload->empty())
    return Bad(what, "payload is not in base64");
  envelope.payload = *std::move(payload);
  JsonValue signatures = value["signatures"];
  if (signatures.size() == 0 || signatures.size() > kMaxSignatures)
    return Bad(what, Cat("it has ", signatures.size(), " signatures, not 1 to ", kMaxSignatures));
  for (JsonValue signature : signatures) {
    Result<std::string> bytes = Base64Decode(signature["sig"].str());
    if (!bytes)
      return Bad(what, "a signature is not in base64");
    envelope.signatures.push_back({std::string(signature["keyid"].str()), *std::move(bytes)});
  }
  return envelope;
}

std::string Envelope::ToJson() const {
  JsonWriter writer;
  writer.Object().Field("payloadType", payload_type).Field("payload", Base64Encode(payload));
  writer.Key("signatures").Array();
  for (const Signature& signature : signatures) {
    writer.Object().Field("keyid", signature.key_id);
    writer.Field("sig", Base64Encode(signature.bytes)).End();
  }
  writer.End().End();
  return writer.Take();
}

Result<> Envelope::Sign(const PrivateKey& key) {
  PublicKey public_key = TRY(key.Public());
  std::string bytes = TRY(key.Sign(Encode(payload_type, payload)));
  std::erase_if(signatures, [&](const Signature& old) { return old.key_id == public_key.id(); });
  signatures.push_back({public_key.id(), std::move(bytes)});
  return {};
}

const PublicKey* Envelope::SignedBy(std::span<const PublicKey> keys) const {
  std::string message = Encode(payload_type, payload);
  for (const PublicKey& key : keys) {
    for (const Signature& signature : signatures) {
      if (key.Verifies(message, signature.bytes))
        return &key;
    }
  }
  return nullptr;
}

Result<> RefuseDuplicateNames(JsonValue value, std::string_view what) {
  std::set<std::string> names;
  for (JsonValue child : value) {
    if (value.IsObject() && !names.insert(ToLower(child.key())).second)
      return Fail(Errc::kInvalid, Cat(what, " has the name ", child.key(), " twice in one object"));
    TRY(RefuseDuplicateNames(child, what));
  }
  return {};
}

}  // namespace wherry::ota
