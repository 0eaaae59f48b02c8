#include "ota/desired.h"

#include <array>

#include "core/base/digest.h"
#include "core/base/text.h"
#include "core/oci/spec_reader.h"
#include "net/registry/reference.h"

namespace wherry::ota {

namespace {

constexpr uint32_t kWhole = 1000;
constexpr int64_t kMaxSequence = int64_t{1} << 53;
constexpr size_t kMaxDeployment = 64;

}  // namespace

Result<Desired> Desired::Open(std::string_view envelope, std::span<const PublicKey> keys,
                              std::string_view what) {
  Envelope opened = TRY(Envelope::Parse(envelope, what));
  if (opened.payload_type != kDesiredType)
    return Fail(Errc::kInvalid, Cat(what, " is no desired state but ", opened.payload_type));
  if (opened.SignedBy(keys) == nullptr)
    return Fail(Errc::kDenied, Cat(what, " is signed by no key this device trusts for rollouts"));
  return Parse(opened.payload, what);
}

Result<Desired> Desired::Parse(std::string_view json, std::string_view what) {
  JsonDocument document = TRY(JsonDocument::Parse(json, what));
  TRY(RefuseDuplicateNames(document.root(), what));
  JsonValue value = document.root();
  oci::Field root(value, what);
  TRY(root.ExpectKnown(
      std::array<std::string_view, 7>{"v", "dep", "rseq", "gate", "hold", "revoke", "release"}));
  TRY(root["v"].Number(1, 1));
  Desired desired;
  desired.deployment = TRY(root["dep"].Text());
  if (desired.deployment.empty() || desired.deployment.size() > kMaxDeployment)
    return root["dep"].Bad("must have 1 to 64 characters");
  int64_t sequence = TRY(root["rseq"].Number(1, kMaxSequence));
  desired.sequence = static_cast<uint64_t>(sequence);
  TRY(root["gate"].Store(desired.gate, 0, kWhole));
  desired.hold = TRY(root["hold"].Flag());
  desired.revoke = TRY(root["revoke"].Flag());
  if (root["release"].value().IsString()) {
    desired.release = TRY(root["release"].Text());
    auto reference = TRY_CTX("release", registry::Reference::Parse(desired.release));
    if (!reference.digest)
      return root["release"].Bad("must name the artifact by digest: a tag may change");
  } else if (root["release"]) {
    TRY(root["release"].ExpectObject());
    desired.release = root["release"].value().Dump();
  }
  if (desired.release.empty() && !desired.revoke)
    return root["release"].Bad("is missing");
  return desired;
}

std::string Desired::ToJson() const {
  JsonWriter json;
  json.Object().Field("v", 1).Field("dep", deployment).Field("rseq", sequence);
  json.Field("gate", gate).Field("hold", hold).Field("revoke", revoke);
  if (release.starts_with('{'))
    json.Key("release").Raw(release);
  else if (!release.empty())
    json.Field("release", release);
  json.End();
  return json.Take();
}

bool Desired::OpenFor(std::string_view device) const {
  Digest digest = Digest::Of(Cat(deployment, device));
  uint32_t place = static_cast<uint32_t>(digest.bytes()[0]) << 8 | digest.bytes()[1];
  return place % kWhole < gate;
}

}  // namespace wherry::ota
