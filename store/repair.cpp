// Taking damage out of use and healing it. What can be made from indexes and objects is made again
// here; a layer that lacks something else counts as absent, and its next AddLayer writes what is
// bad.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/store_impl.h"
#include "store/tree_check.h"

namespace wherry::store {

namespace {

constexpr const char* kMendName = "mend";
constexpr size_t kNoLimit = SIZE_MAX;
constexpr std::string_view kObjectPrefix = "obj-";

}  // namespace

Result<> StoreImpl::SetAside(const std::vector<Damage>& damages) {
  // Layers that are being added may rely on an object without anybody knowing yet. Before
  // write_mutex_, so that nobody else waits with us; whoever has that one never waits for this.
  std::unique_lock ingest_lock(ingest_mutex_);
  std::lock_guard write_lock(write_mutex_);
  std::vector<Digest> objects;
  size_t known = FactoryDamage();
  Result<> done;
  auto keep = [&](Result<> result) { done = done ? std::move(result) : std::move(done); };
  for (const Damage& damage : damages) {
    if (damage.kind == DamageKind::kObject) {
      objects.push_back(damage.digest);
      keep(QuarantineObject(damage.digest));
    } else if (damage.kind == DamageKind::kIndex || damage.kind == DamageKind::kArchive) {
      Break(damage.digest, Cat(damage.path, ": ", damage.what));
    }
  }
  keep(BreakLayersWith(std::move(objects)));
  ingest_lock.unlock();
  for (const Damage& damage : damages) {
    if (damage.kind == DamageKind::kRefs) {
      RefMap refs;
      {
        std::lock_guard lock(mutex_);
        refs = refs_;
      }
      keep(ReplaceRefs(std::move(refs)));
    } else if (damage.kind == DamageKind::kRecord) {
      std::lock_guard lock(mutex_);
      auto image = images_.find(damage.digest);
      if (image != images_.end())
        image->second.record_damaged = true;
    } else if (damage.kind == DamageKind::kMetadata) {
      std::string name = Cat(damage.digest.hex(), kImageSuffix);
      bool of_factory = IsFactoryDir(DirOf(name));
      keep(ops_.RemoveFile(layer_.get(), name));
      std::lock_guard lock(mutex_);
      if (of_factory)
        bad_chains_.insert(damage.digest);
    } else if (damage.kind == DamageKind::kTree && !FindBroken(damage.digest)) {
      keep(RemakeTree(damage.digest));
    }
  }
  if (FactoryDamage() != known)
    keep(SaveFactoryDamage());
  return done;
}

// Not removed: somebody may want to see what has become of it. Each has one place.
Result<> StoreImpl::QuarantineObject(const Digest& digest) {
  struct stat info;
  if (fstatat(objects_->dir(), ObjectPath(digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (objects_->Find(digest).dir >= 0)
      objects_->Distrust(digest);
    return {};
  }
  if (Quarantine(objects_->dir(), ObjectPath(digest), Cat(kObjectPrefix, digest.hex())))
    return {};
  uint64_t freed = TRY_CTX("remove a damaged object", objects_->Remove(digest));
  (void)freed;
  return {};
}

void StoreImpl::Break(const Digest& diff_id, std::string what) {
  std::lock_guard lock(mutex_);
  if (!layers_.contains(diff_id))
    return;
  Broken& broken = broken_[diff_id];
  broken.files = true;
  if (broken.what.empty())
    broken.what = std::move(what);
}

Result<> StoreImpl::BreakLayersWith(std::vector<Digest> objects) {
  std::sort(objects.begin(), objects.end());
  std::vector<Digest> layers;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, layer] : layers_)
      layers.push_back(diff_id);
  }
  for (const Digest& diff_id : layers) {
    auto index = ReadIndex(diff_id);
    if (!index)
      continue;
    std::vector<ObjectSize> bad;
    for (size_t i = 0; i < index->object_count(); ++i) {
      ObjectSize object = index->object(i);
      if (std::binary_search(objects.begin(), objects.end(), object.digest))
        bad.push_back(object);
    }
    if (bad.empty() && !FindBroken(diff_id))
      continue;
    auto tree = index->Tree();
    std::lock_guard lock(mutex_);
    Broken& state = broken_[diff_id];
    if (tree)
      state.inline_bytes = tree->HasInlineFile() ? kInlineBytes : 0;
    if (state.what.empty() && !bad.empty())
      state.what = Cat("its object ", bad[0].digest.string(), " is damaged");
    state.objects.insert(state.objects.end(), bad.begin(), bad.end());
  }
  return {};
}

std::optional<StoreImpl::Broken> StoreImpl::FindBroken(const Digest& diff_id) const {
  std::lock_guard lock(mutex_);
  auto broken = broken_.find(diff_id);
  return broken == broken_.end() ? std::nullopt : std::optional(broken->second);
}

Result<> StoreImpl::Heal() {
  std::lock_guard write_lock(write_mutex_);
  std::vector<Digest> layers;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, broken] : broken_)
      layers.push_back(diff_id);
  }
  Result<> done;
  for (const Digest& diff_id : layers) {
    auto broken = FindBroken(diff_id);
    auto healed = broken ? HealLayer(diff_id, *broken) : false;
    if (!healed) {
      done =
          std::unexpected(std::move(healed).error().Wrap(Cat("repair layer ", diff_id.string())));
      continue;
    }
    if (!*healed)
      continue;
    std::lock_guard lock(mutex_);
    broken_.erase(diff_id);
    layers_[diff_id].durable = false;
  }
  return done;
}

Result<bool> StoreImpl::HealLayer(const Digest& diff_id, const Broken& broken) {
  if (broken.files)
    return false;
  for (const ObjectSize& object : broken.objects) {
    if (!objects_->Has(object.digest, object.size))
      return false;
  }
  if (broken.new_index)
    TRY(RemakeImages(diff_id));
  TRY(RemakeTree(diff_id));
  auto quarantine = OpenAt(dir_.get(), kQuarantineName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const ObjectSize& object : broken.objects) {
    if (quarantine)
      TRY(RemoveTreeAt(quarantine->get(), Cat(kObjectPrefix, object.digest.hex())));
  }
  return true;
}

// They are made again when they are needed.
Result<> StoreImpl::RemakeImages(const Digest& diff_id) {
  std::set<Digest> chains;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [digest, image] : images_) {
      for (const LayerInfo& layer : image.layers) {
        if (layer.diff_id == diff_id)
          chains.insert(image.chain_id);
      }
    }
  }
  for (const Digest& chain_id : chains)
    TRY(ops_.RemoveFile(layer_.get(), Cat(chain_id.hex(), kImageSuffix)));
  return {};
}

// Name by name: running containers have the directory mounted.
Result<> StoreImpl::RemakeTree(const Digest& diff_id) {
  std::string name = diff_id.hex();
  bool factory = false;
  auto root = OpenTree(diff_id, &factory);
  if (!root)
    return {};
  LayerIndex index = TRY(ReadIndex(diff_id));
  LayerTree tree = TRY(index.Tree());
  auto faults = CheckTree(tree, *objects_, root->get(), TreeCheck::kContent, kNoLimit);
  if (faults.empty())
    return {};
  if (factory) {
    TRY(MakeTree(tree, diff_id, txn_.get()));
    return {};
  }
  TRY(ops_.RemoveTree(txn_.get(), kMendName));
  TRY(ops_.MakeDir(txn_.get(), kMendName));
  UniqueFd dir = TRY(OpenAt(txn_.get(), kMendName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  auto mend = [&]() -> Result<> {
    TRY(FillTree(tree, name, dir.get()));
    UniqueFd fresh = TRY(OpenAt(dir.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return MendTree(faults, root->get(), fresh.get());
  };
  auto mended = mend();
  auto removed = ops_.RemoveTree(txn_.get(), kMendName);
  TRY(std::move(mended));
  return removed;
}

Result<> StoreImpl::Sound(const Digest& manifest_digest) const {
  std::lock_guard lock(mutex_);
  auto image = images_.find(manifest_digest);
  if (image == images_.end())
    return Fail(Errc::kNotFound, Cat("there is no image ", manifest_digest.string()));
  constexpr std::string_view kRemedy =
      "; run `wherry store check --repair` when its registry can be reached";
  if (image->second.record_damaged)
    return Fail(Errc::kCorrupt, Cat("the image is damaged: its record has other content", kRemedy));
  for (const LayerInfo& layer : image->second.layers) {
    auto broken = broken_.find(layer.diff_id);
    if (broken != broken_.end()) {
      return Fail(Errc::kCorrupt, Cat("the image is damaged: layer ", layer.diff_id.string(), ": ",
                                      broken->second.what, kRemedy));
    }
  }
  return {};
}

bool StoreImpl::HasQuarantine() const {
  auto quarantine = OpenAt(dir_.get(), kQuarantineName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto names = quarantine ? ListDirFd(quarantine->get()) : Result<std::vector<std::string>>();
  return names && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return name.starts_with(kObjectPrefix);
         });
}

}  // namespace wherry::store
