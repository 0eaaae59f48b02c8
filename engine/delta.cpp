#include "engine/delta.h"

#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxManifests = 4;  // for one image

}  // namespace

Result<std::optional<Deltas::Choice>> Deltas::Find(const oci::Layer& layer, const Digest& diff_id) {
  if (!loaded_) {
    loaded_ = true;
    TRY(Load());
  }
  std::optional<Choice> best;
  uint64_t bound = layer.descriptor.size;
  for (const oci::LayerDelta& delta : offered_) {
    if (delta.to != diff_id && delta.to != layer.descriptor.digest)
      continue;
    auto from = known_.find(delta.from);
    if (from == known_.end() || delta.descriptor.size >= bound)
      continue;
    bound = delta.descriptor.size;
    best = Choice{delta.descriptor, from->second};
  }
  return best;
}

Result<> Deltas::Load() {
  FindKnownLayers();
  if (known_.empty())
    return {};
  TRY(Take(client_->GetManifestByTag(std::string(oci::kDeltaIndexTag))));
  return offered_.empty() ? Take(client_->GetReferrers(target_, oci::kDeltaConfig)) : Result<>();
}

// What is not there is no error.
Result<> Deltas::Take(Result<registry::FetchedManifest> list) {
  if (!list && list.error().code() == Errc::kNotFound)
    return {};
  auto fetched = TRY(std::move(list));
  auto manifests = TRY(oci::DeltaManifests(fetched.bytes, target_));
  for (size_t i = 0; i < manifests.size() && i < kMaxManifests; ++i) {
    auto manifest = TRY(client_->GetManifest(manifests[i].digest));
    auto deltas = TRY(oci::ParseDeltas(manifest.bytes, target_));
    offered_.insert(offered_.end(), deltas.begin(), deltas.end());
  }
  return {};
}

void Deltas::FindKnownLayers() {
  for (const Digest& digest : store_->Images()) {
    auto image = store_->Find(digest);
    if (image == nullptr)
      continue;
    for (const store::LayerInfo& layer : image->layers)
      known_.emplace(layer.diff_id, layer.diff_id);
    auto manifest = oci::ParseManifest(image->manifest, image->media_type);
    if (!manifest || manifest->layers.size() != image->layers.size())
      continue;
    for (size_t i = 0; i < image->layers.size(); ++i)
      known_.emplace(manifest->layers[i].descriptor.digest, image->layers[i].diff_id);
  }
}

}  // namespace wherry::engine
