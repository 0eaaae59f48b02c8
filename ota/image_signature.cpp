#include "ota/image_signature.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "ota/dsse.h"

namespace wherry::ota {

namespace {

constexpr std::string_view kStatementType = "application/vnd.in-toto+json";
constexpr std::string_view kPredicate = "https://sigstore.dev/cosign/sign/v1";
constexpr std::string_view kSimpleType = "cosign container image signature";
constexpr std::string_view kBundleName = "the signature bundle";
constexpr std::string_view kSimpleName = "the signature's payload";

Error Foreign() {
  return {Errc::kDenied, "it is signed by another key"};
}

Error NotThis(std::string_view other) {
  return {Errc::kDenied, Cat("the signature is of ", other.empty() ? "nothing" : other)};
}

Result<JsonDocument> ParseOnce(std::string_view json, std::string_view what) {
  JsonDocument document = TRY(JsonDocument::Parse(json, what));
  TRY(RefuseDuplicateNames(document.root(), what));
  return document;
}

// Written "docker-manifest-digest" by cosign, with a capital D in its specification.
JsonValue Member(JsonValue object, std::string_view name) {
  for (JsonValue member : object) {
    if (EqualsIgnoreCase(member.key(), name))
      return member;
  }
  return object[name];
}

}  // namespace

Result<> CheckBundle(std::string_view json, const Digest& image, std::span<const PublicKey> keys) {
  JsonDocument bundle = TRY(ParseOnce(json, kBundleName));
  Envelope envelope = TRY(Envelope::FromJson(bundle["dsseEnvelope"], kBundleName));
  if (envelope.payload_type != kStatementType)
    return Fail(Errc::kInvalid, Cat(kBundleName, " holds a ", envelope.payload_type));
  if (envelope.SignedBy(keys) == nullptr)
    return std::unexpected(Foreign());
  JsonDocument statement = TRY(ParseOnce(envelope.payload, kBundleName));
  // The same key may have signed a list of parts or a report of this image: no word for it.
  if (statement["predicateType"].str() != kPredicate)
    return std::unexpected(NotThis("something else than an image"));
  std::string other;
  for (JsonValue subject : statement["subject"]) {
    std::string_view hex = subject["digest"]["sha256"].str();
    if (hex == image.hex())
      return {};
    other = Cat("sha256:", hex);
  }
  return std::unexpected(NotThis(other));
}

Result<> CheckSimpleSigning(std::string_view payload, std::string_view signature,
                            const Digest& image, std::span<const PublicKey> keys) {
  std::string bytes = TRY_CTX("the signature", Base64Decode(signature));
  if (std::ranges::none_of(keys, [&](const PublicKey& k) { return k.Verifies(payload, bytes); }))
    return std::unexpected(Foreign());
  JsonDocument document = TRY(ParseOnce(payload, kSimpleName));
  JsonValue critical = Member(document.root(), "critical");
  if (Member(critical, "type").str() != kSimpleType)
    return std::unexpected(NotThis("something else than an image"));
  std::string_view digest = Member(Member(critical, "image"), "docker-manifest-digest").str();
  if (digest != image.string())
    return std::unexpected(NotThis(digest));
  return {};
}

}  // namespace wherry::ota
