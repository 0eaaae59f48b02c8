#include <fcntl.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/space.h"
#include "store/store_impl.h"

namespace wherry::store {

Result<std::unique_ptr<Store>> Store::Open(const std::string& directory, const Limits& limits,
                                           std::optional<Tier> tier,
                                           std::vector<std::string>* notices) {
  return StoreImpl::OpenWith(directory, limits, tier, DiskOps::Real(), notices);
}

Result<> StoreImpl::CheckSpace(uint64_t needed_bytes) const {
  return CheckFreeSpace(dir_.get(), needed_bytes, limits_.reserve_bytes);
}

bool StoreImpl::HasLayer(const Digest& diff_id) const {
  std::lock_guard lock(mutex_);
  return layers_.contains(diff_id) && !broken_.contains(diff_id);
}

std::optional<LayerInfo> StoreImpl::FindLayer(const Digest& diff_id) const {
  std::lock_guard lock(mutex_);
  auto layer = layers_.find(diff_id);
  if (layer == layers_.end() || broken_.contains(diff_id)) {
    return std::nullopt;
  }
  return LayerInfo{diff_id, layer->second.size_bytes};
}

std::shared_ptr<const Image> StoreImpl::Find(const Digest& manifest_digest) const {
  {
    std::lock_guard lock(mutex_);
    auto state = images_.find(manifest_digest);
    if (state == images_.end()) {
      return nullptr;
    }
    if (auto parsed = state->second.parsed.lock()) {
      return parsed;
    }
  }
  auto content = ReadFileAt(img_.get(), manifest_digest.hex(), kMaxRecordBytes);
  if (!content) {
    return nullptr;
  }
  auto record = DecodeRecord(*content, manifest_digest);
  if (!record) {
    return nullptr;
  }
  auto image = std::make_shared<const Image>(std::move(record->image));
  std::lock_guard lock(mutex_);
  auto state = images_.find(manifest_digest);
  if (state == images_.end()) {
    return nullptr;
  }
  state->second.parsed = image;
  return image;
}

WriteCount StoreImpl::written() const {
  std::lock_guard lock(mutex_);
  return written_;
}

std::vector<Digest> StoreImpl::Images() const {
  std::lock_guard lock(mutex_);
  std::vector<Digest> digests;
  digests.reserve(images_.size());
  for (const auto& [digest, state] : images_) {
    digests.push_back(digest);
  }
  return digests;
}

std::vector<ImageKey> StoreImpl::Keys() const {
  std::vector<ImageKey> keys;
  {
    std::lock_guard lock(mutex_);
    keys.reserve(images_.size());
    for (const auto& [digest, state] : images_)
      keys.push_back({digest, state.config_digest, state.created_unix_nanos});
  }
  std::stable_sort(keys.begin(), keys.end(), [](const ImageKey& a, const ImageKey& b) {
    return a.created_unix_nanos > b.created_unix_nanos;
  });
  return keys;
}

std::vector<Ref> StoreImpl::Refs() const {
  std::lock_guard lock(mutex_);
  std::vector<Ref> refs;
  for (const auto& [name, digest] : refs_) {
    refs.push_back({name, digest});
  }
  return refs;
}

std::optional<Digest> StoreImpl::Resolve(std::string_view ref_name) const {
  std::lock_guard lock(mutex_);
  auto ref = refs_.find(ref_name);
  return ref == refs_.end() ? std::nullopt : std::optional(ref->second);
}

Result<> StoreImpl::SetRef(const std::string& name, const Digest& manifest_digest) {
  TRY(CheckRefName(name));
  std::lock_guard write_lock(write_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (!images_.contains(manifest_digest)) {
      return Fail(Errc::kNotFound, Cat("there is no image ", manifest_digest.string()));
    }
  }
  auto changed = WithRefs({name}, manifest_digest);
  return changed ? ReplaceRefs(*std::move(changed)) : Result<>();
}

Result<> StoreImpl::RemoveRefs(const std::vector<std::string>& names) {
  std::lock_guard write_lock(write_mutex_);
  RefMap changed;
  {
    std::lock_guard lock(mutex_);
    changed = refs_;
  }
  size_t removed = 0;
  for (const std::string& name : names) {
    removed += changed.erase(name);
  }
  if (removed == 0)
    return {};
  auto replaced = ReplaceRefs(changed);
  if (replaced || replaced.error().code() != Errc::kNoSpace)
    return replaced;
  // A full file system must not keep anybody from making room: Collect writes the names when it has
  // freed some. Until then a start drops names whose image is gone, or finds all as it was.
  std::lock_guard lock(mutex_);
  refs_ = std::move(changed);
  refs_unsaved_ = true;
  return {};
}

// REQUIRES: write_mutex_ held.
Result<> StoreImpl::SaveRefs() {
  if (!refs_unsaved_)
    return {};
  RefMap refs;
  {
    std::lock_guard lock(mutex_);
    refs = refs_;
  }
  return ReplaceRefs(std::move(refs));
}

std::optional<RefMap> StoreImpl::WithRefs(const std::vector<std::string>& names,
                                          const Digest& manifest_digest) const {
  std::lock_guard lock(mutex_);
  RefMap changed = refs_;
  for (const std::string& name : names) {
    changed.insert_or_assign(name, manifest_digest);
  }
  if (changed == refs_)
    return std::nullopt;
  return changed;
}

Result<> StoreImpl::ReplaceRefs(RefMap refs) {
  TRY_CTX("write the names of the images",
          ops_.ReplaceFile(dir_.get(), kRefsName, EncodeRefs(refs)));
  refs_unsaved_ = false;
  std::lock_guard lock(mutex_);
  refs_ = std::move(refs);
  return {};
}

void StoreImpl::AddImageLocked(const Image& image) {
  ImageState& state = images_[image.manifest_digest];
  state.layers = image.layers;
  state.chain_id = ChainId(image.layers);
  state.config_digest = image.config_digest;
  state.created_unix_nanos = image.created_unix_nanos;
  std::set<Digest> counted;
  for (const LayerInfo& layer : image.layers) {
    LayerState& known = layers_[layer.diff_id];
    known.size_bytes = layer.size_bytes;
    known.images += counted.insert(layer.diff_id).second ? 1 : 0;
  }
}

void StoreImpl::RemoveImageLocked(const Digest& manifest_digest) {
  auto image = images_.find(manifest_digest);
  if (image == images_.end()) {
    return;
  }
  std::set<Digest> counted;
  for (const LayerInfo& layer : image->second.layers) {
    if (counted.insert(layer.diff_id).second) {
      --layers_[layer.diff_id].images;
    }
  }
  dropped_chains_.insert(image->second.chain_id);
  images_.erase(image);
}

}  // namespace wherry::store
