#include "core/oci/delta_spec.h"

#include "core/base/text.h"
#include "core/oci/image_json.h"

namespace wherry::oci {

namespace {

constexpr size_t kMaxEntries = 10'000;

// The list `name` of a document, bounded.
Result<JsonValue> List(const JsonDocument& document, std::string_view what, std::string_view name) {
  JsonValue list = document[name];
  if (!list.IsArray())
    return Fail(Errc::kInvalid, Cat(what, ": ", name, " is missing or not a list"));
  if (list.size() > kMaxEntries)
    return Fail(Errc::kInvalid, Cat(what, ": more than ", kMaxEntries, " ", name));
  return list;
}

}  // namespace

Result<std::vector<Descriptor>> DeltaManifests(std::string_view json, const Digest& target) {
  auto document = TRY(ParseDocument(json, "delta index", kMaxManifestBytes));
  JsonValue manifests = TRY(List(document, "delta index", "manifests"));
  std::string wanted = target.string();
  std::vector<Descriptor> found;
  for (JsonValue entry : manifests) {
    std::string_view type = entry["artifactType"].str();
    std::string_view named = entry["annotations"][kDeltaTarget].str();
    if (named.empty() ? type != kDeltaConfig : named != wanted)
      continue;
    if (auto descriptor = ParseDescriptor(entry, "delta index"))
      found.push_back(*std::move(descriptor));
  }
  return found;
}

Result<std::vector<LayerDelta>> ParseDeltas(std::string_view json, const Digest& target) {
  auto document = TRY(ParseDocument(json, "delta manifest", kMaxManifestBytes));
  for (JsonValue named : {document["annotations"][kDeltaTarget], document["subject"]["digest"]}) {
    if (named && named.str() != target.string())
      return Fail(Errc::kInvalid, "delta manifest: it is for another image");
  }
  JsonValue layers = TRY(List(document, "delta manifest", "layers"));
  std::vector<LayerDelta> deltas;
  for (JsonValue layer : layers) {
    if (layer["mediaType"].str() != kTarDiff)
      continue;
    auto descriptor = ParseDescriptor(layer, "delta manifest");
    auto from = Digest::Parse(layer["annotations"][kDeltaFrom].str());
    auto to = Digest::Parse(layer["annotations"][kDeltaTo].str());
    if (descriptor && from && to)
      deltas.push_back({*std::move(descriptor), *from, *to});
  }
  return deltas;
}

}  // namespace wherry::oci
