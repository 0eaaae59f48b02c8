#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/space.h"
#include "store/store_impl.h"

namespace wherry::store {

Result<std::unique_ptr<Store>> Store::Open(const std::string& directory, const Options& options,
                                           std::vector<std::string>* notices) {
  return StoreImpl::OpenWith(directory, options, DiskOps::Real(), notices);
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
  auto content = ReadFileAt(DirOfRecord(manifest_digest), manifest_digest.hex(), kMaxRecordBytes);
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
  RefMap all = refs_;
  if (factory_)
    all.insert(factory_->refs.begin(), factory_->refs.end());
  std::vector<Ref> refs;
  for (const auto& [name, digest] : all) {
    refs.push_back({name, digest, !refs_.contains(name)});
  }
  return refs;
}

bool StoreImpl::IsFactoryOnly(const Digest& manifest_digest) const {
  std::lock_guard lock(mutex_);
  auto image = images_.find(manifest_digest);
  return image != images_.end() && !image->second.own;
}

std::optional<Digest> StoreImpl::Resolve(std::string_view ref_name) const {
  std::lock_guard lock(mutex_);
  return ResolveLocked(ref_name);
}

std::optional<Digest> StoreImpl::ResolveLocked(std::string_view ref_name) const {
  auto ref = refs_.find(ref_name);
  if (ref != refs_.end())
    return ref->second;
  if (!factory_)
    return std::nullopt;
  auto made = factory_->refs.find(ref_name);
  return made == factory_->refs.end() ? std::nullopt : std::optional(made->second);
}

Result<> StoreImpl::SetRef(const std::string& name, const Digest& manifest_digest) {
  TRY(CheckRefName(name));
  if (IsFactoryOnly(manifest_digest) && Resolve(name) != manifest_digest) {
    auto image = Find(manifest_digest);
    if (image == nullptr)
      return Fail(Errc::kCorrupt, "the image's record in the factory store cannot be read");
    ImageRecord record{image->manifest, image->media_type, image->config, {}};
    for (const LayerInfo& layer : image->layers)
      record.diff_ids.push_back(layer.diff_id);
    auto transaction = TRY(Begin());
    TRY(transaction->Commit(record, {name}));
    return {};
  }
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
    if (ResolveLocked(name) != manifest_digest)
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
  state.own = true;
  state.layers = image.layers;
  state.chain_id = ChainId(image.layers);
  state.config_digest = image.config_digest;
  state.created_unix_nanos = image.created_unix_nanos;
  std::set<Digest> counted;
  for (const LayerInfo& layer : image.layers) {
    LayerState& known = layers_[layer.diff_id];
    known.size_bytes = layer.size_bytes;
    known.own = true;
    known.images += counted.insert(layer.diff_id).second ? 1 : 0;
  }
}

void StoreImpl::AddFactoryImageLocked(const Image& image) {
  ImageState& state = images_[image.manifest_digest];
  state.factory = true;
  if (!state.own) {
    state.layers = image.layers;
    state.chain_id = ChainId(image.layers);
    state.config_digest = image.config_digest;
    state.created_unix_nanos = image.created_unix_nanos;
  }
  for (const LayerInfo& layer : image.layers) {
    LayerState& known = layers_[layer.diff_id];
    known.size_bytes = layer.size_bytes;
    known.durable = true;
    known.factory = true;
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
  image->second.own = false;
  image->second.record_damaged = false;
  if (!image->second.factory)
    images_.erase(image);
}

int StoreImpl::DirOf(const std::string& layer_file) const {
  bool there = factory_ && faccessat(layer_.get(), layer_file.c_str(), F_OK, 0) != 0;
  return there ? factory_->layer.get() : layer_.get();
}

int StoreImpl::DirOfRecord(const Digest& manifest_digest) const {
  return IsFactoryOnly(manifest_digest) ? factory_->img.get() : img_.get();
}

bool StoreImpl::IsFactoryDir(int dir) const {
  return factory_ && (dir == factory_->layer.get() || dir == factory_->img.get() ||
                      dir == factory_->tree.get() || dir == factory_->objects.get());
}

std::string StoreImpl::BaseOf(int dir) const {
  return IsFactoryDir(dir) ? factory_->prefix : Cat(directory_, "/");
}

}  // namespace wherry::store
