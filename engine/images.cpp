#include "engine/images.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr size_t kShortestIdPrefix = 2;

bool IsHex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error NoSuchImage(std::string_view name) {
  return Error(Errc::kNotFound, Cat("No such image: ", name));
}

Error OfFactory(std::string_view name) {
  return Error(Errc::kConflict, Cat("conflict: ", name,
                                    " is of the factory store, which is read-only: it takes no "
                                    "space of this device's store and cannot be removed"));
}

}  // namespace

void PinTable::Add(const Digest& manifest_digest) {
  std::lock_guard lock(mutex_);
  ++counts_[manifest_digest];
}

void PinTable::Drop(const Digest& manifest_digest) {
  std::lock_guard lock(mutex_);
  auto found = counts_.find(manifest_digest);
  if (--found->second == 0)
    counts_.erase(found);
}

std::set<Digest> PinTable::All() const {
  std::lock_guard lock(mutex_);
  std::set<Digest> all;
  for (const auto& [digest, count] : counts_)
    all.insert(digest);
  return all;
}

ImagePin::ImagePin(std::shared_ptr<PinTable> table, const Digest& manifest_digest)
    : table_(std::move(table)), manifest_digest_(manifest_digest) {
  table_->Add(manifest_digest_);
}

ImagePin::~ImagePin() {
  table_->Drop(manifest_digest_);
}

std::shared_ptr<ImagePin> Images::Pin(const Digest& manifest_digest) {
  return std::make_shared<ImagePin>(pins_, manifest_digest);
}

Images::Images(store::Store* store, const registry::Options& registry_options,
               const SignaturePolicy& signatures, std::string pressure)
    : store_(store),
      registry_options_(registry_options),
      signatures_(signatures),
      pressure_(std::move(pressure)) {}

Images::~Images() = default;

Result<> Images::BeginTransfer(const CancelFlag& cancel, TransferKind kind) {
  std::lock_guard lock(mutex_);
  if (cancelled_)
    return Fail(Errc::kCancelled, "the daemon is ending");
  if (kind == TransferKind::kArchive && archives_ == kMaxArchives) {
    return Fail(Errc::kBusy, Cat("more than ", kMaxArchives,
                                 " archives are being read or written; try again later"));
  }
  archives_ += kind == TransferKind::kArchive ? 1 : 0;
  transfers_.insert(cancel);
  return {};
}

void Images::EndTransfer(const CancelFlag& cancel, TransferKind kind) {
  std::lock_guard lock(mutex_);
  archives_ -= kind == TransferKind::kArchive ? 1 : 0;
  transfers_.erase(cancel);
}

Result<std::shared_ptr<void>> Images::BeginArchive(const CancelFlag& cancel) {
  TRY(BeginTransfer(cancel, TransferKind::kArchive));
  return std::shared_ptr<void>(
      this, [this, cancel](void*) { EndTransfer(cancel, TransferKind::kArchive); });
}

void Images::CancelTransfers() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (const CancelFlag& transfer : transfers_)
    transfer->store(true);
}

Result<Images::Found> Images::FindById(std::string_view name, std::string_view prefix) {
  std::optional<store::ImageKey> match;
  for (const store::ImageKey& key : store_->Keys()) {
    if (!key.config_digest.hex().starts_with(prefix))
      continue;
    if (match && match->config_digest != key.config_digest) {
      return Fail(Errc::kInvalid, Cat("image ID ", name, " is ambiguous; give more characters"));
    }
    match = key;
  }
  auto image = match ? store_->Find(match->manifest_digest) : nullptr;
  if (image == nullptr)
    return std::unexpected(NoSuchImage(name));
  return Found{std::move(image), std::nullopt};
}

Result<Images::Found> Images::Find(std::string_view name) {
  std::string_view hex = name;
  bool by_id = hex.starts_with("sha256:");
  if (by_id)
    hex.remove_prefix(7);
  if (by_id || (IsHex(hex) && hex.size() == 64))
    return FindById(name, hex);
  auto reference = registry::Reference::Parse(name);
  if (reference) {
    std::string canonical = reference->Canonical();
    if (auto digest = store_->Resolve(canonical)) {
      if (auto image = store_->Find(*digest))
        return Found{std::move(image), canonical};
    }
  }
  if (IsHex(hex) && hex.size() >= kShortestIdPrefix)
    return FindById(name, hex);
  if (!reference)
    return std::unexpected(std::move(reference).error());
  return std::unexpected(NoSuchImage(name));
}

Result<OpenImage> Images::Open(std::string_view name) {
  Found found = TRY(Find(name));
  // Pinned first, then looked at again: a removal in between has either finished or sees the pin.
  auto pin = Pin(found.image->manifest_digest);
  if (store_->Find(found.image->manifest_digest) == nullptr)
    return std::unexpected(NoSuchImage(name));
  OpenImage open;
  open.name = name;
  open.id = found.image->config_digest;
  open.manifest_digest = found.image->manifest_digest;
  open.config = TRY_CTX(Cat("image ", name), oci::ParseImageConfig(found.image->config));
  open.pin = std::move(pin);
  return open;
}

Result<store::RootFs> Images::Root(const Digest& manifest_digest) {
  return store_->Root(manifest_digest);
}

ImageSummary Images::Summarise(std::shared_ptr<const store::Image> image,
                               const std::vector<store::Ref>& refs) {
  ImageSummary summary;
  for (const store::Ref& ref : refs) {
    if (ref.manifest_digest != image->manifest_digest)
      continue;
    auto reference = registry::Reference::Parse(ref.name);
    if (!reference)
      continue;
    (reference->digest ? summary.repo_digests : summary.repo_tags).push_back(reference->Familiar());
  }
  summary.image = std::move(image);
  return summary;
}

Result<ImageSummary> Images::Inspect(std::string_view name) {
  Found found = TRY(Find(name));
  return Summarise(std::move(found.image), store_->Refs());
}

void Images::ForEach(const std::function<void(const ImageSummary&)>& use) {
  auto refs = store_->Refs();
  for (const store::ImageKey& key : store_->Keys()) {
    if (auto image = store_->Find(key.manifest_digest))
      use(Summarise(std::move(image), refs));
  }
}

Result<> Images::Tag(std::string_view name, const registry::Reference& new_name) {
  Found found = TRY(Find(name));
  if (new_name.digest)
    return Fail(Errc::kInvalid, "an image cannot be tagged with a digest; give NAME:TAG");
  return store_->SetRef(new_name.Canonical(), found.image->manifest_digest);
}

// What Docker refuses: an image in use loses a name only by force, and its record never while a
// container runs.
Result<> Images::MayRemove(std::string_view name, const Found& found, size_t names, Force force,
                           const std::vector<ImageUser>& users) {
  bool last_name = !found.ref || names <= 1;
  if (!last_name)
    return {};
  for (const ImageUser& user : users) {
    if (user.manifest_digest != found.image->manifest_digest)
      continue;
    std::string id = user.container_id.substr(0, 12);
    if (user.running && !found.ref) {
      return Fail(Errc::kConflict,
                  Cat("conflict: unable to delete ", name,
                      " (cannot be forced) - image is being used by ", "running container ", id));
    }
    if (force == Force::kNo) {
      return Fail(Errc::kConflict,
                  Cat("conflict: unable to remove repository reference \"", name,
                      "\" (must force) - ", "container ", id, " is using its referenced image ",
                      found.image->config_digest.hex().substr(0, 12)));
    }
  }
  return {};
}

Result<RemoveResult> Images::Remove(std::string_view name, Force force,
                                    const std::vector<ImageUser>& users) {
  Found found = TRY(Find(name));
  std::vector<std::string> tags, all;
  for (const store::Ref& ref : store_->Refs()) {
    if (ref.factory && found.ref == ref.name)
      return std::unexpected(OfFactory(name));
    if (ref.factory || ref.manifest_digest != found.image->manifest_digest)
      continue;
    all.push_back(ref.name);
    if (ref.name.find('@') == std::string::npos)
      tags.push_back(ref.name);
  }
  if (all.empty() && store_->IsFactoryOnly(found.image->manifest_digest))
    return std::unexpected(OfFactory(name));
  if (!found.ref && tags.size() > 1 && force == Force::kNo) {
    return Fail(Errc::kConflict,
                Cat("conflict: unable to delete ", name,
                    " (must be forced) - image is referenced in ", "multiple repositories"));
  }
  TRY(MayRemove(name, found, tags.size(), force, users));
  // With the last tag go the digests that were recorded for it.
  bool only_one = found.ref && tags.size() > 1;
  std::vector<std::string> names = only_one ? std::vector<std::string>{*found.ref} : all;
  TRY(store_->RemoveRefs(names));
  RemoveResult result;
  for (const std::string& ref : names) {
    auto reference = registry::Reference::Parse(ref);
    result.untagged.push_back(reference ? reference->Familiar() : ref);
  }
  if (only_one) {
    TRY(store_->Collect({}, pins_->All()));  // on a full file system: was the name saved?
    return result;
  }
  auto collected = TRY(store_->Collect({found.image->manifest_digest}, pins_->All()));
  if (!collected.images.empty() && store_->Find(found.image->manifest_digest) == nullptr)
    result.deleted.push_back(found.image->config_digest);
  for (const Digest& layer : collected.layers)
    result.deleted.push_back(layer);
  return result;
}

Result<PruneResult> Images::Prune(const std::set<Digest>& images) {
  std::set<Digest> unused = images;
  for (const Digest& used : pins_->All())
    unused.erase(used);
  PruneResult result;
  std::vector<std::string> names;
  std::map<Digest, Digest> ids;
  for (const store::ImageKey& key : store_->Keys())
    ids[key.manifest_digest] = key.config_digest;
  for (const store::Ref& ref : store_->Refs()) {
    if (ref.factory || !unused.contains(ref.manifest_digest))
      continue;
    auto reference = registry::Reference::Parse(ref.name);
    names.push_back(ref.name);
    result.removed.untagged.push_back(reference ? reference->Familiar() : ref.name);
  }
  if (!names.empty())
    TRY(store_->RemoveRefs(names));
  auto collected = TRY(store_->Collect(unused, pins_->All()));
  for (const Digest& digest : collected.images)
    result.removed.deleted.push_back(ids[digest]);
  for (const Digest& layer : collected.layers)
    result.removed.deleted.push_back(layer);
  result.freed_bytes = collected.freed_bytes;
  return result;
}

}  // namespace wherry::engine
