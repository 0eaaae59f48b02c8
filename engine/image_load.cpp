// Loading images: an archive goes into the store as it comes, then its documents say what it was.
// Everything is checked before the first image is written down.
#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "core/oci/archive_spec.h"
#include "core/oci/platform.h"
#include "engine/archive_parts.h"
#include "engine/images.h"
#include "engine/pace.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxDepth = 4;  // of indexes in indexes
constexpr size_t kMaxImages = 1000;

std::optional<registry::Reference> NameOf(std::string_view text) {
  auto reference = registry::Reference::Parse(text);
  if (!reference || reference->digest)
    return std::nullopt;
  return std::move(*reference);
}

class PacedSource final : public ByteSource {
 public:
  PacedSource(ByteSource& inner, const std::string& pressure) : inner_(inner), pace_(pressure) {
    if (!pressure.empty())
      UseDiskLast();
  }
  Result<size_t> Read(std::span<std::byte> out) override {
    pace_.Wait();
    return inner_.Read(out);
  }

 private:
  ByteSource& inner_;
  Pace pace_;
};

// Those a bundle of a release has along (engine/update/bundle.h).
class ArchivedSignatures final : public SignatureSource {
 public:
  explicit ArchivedSignatures(const ArchiveParts& parts) : parts_(parts) {}
  Result<std::string> Referrers(const Digest& image) override {
    return Optional(Cat(kSignatures, ReferrersTag(image)));
  }
  Result<std::string> Tagged(const Digest& image) override {
    return Optional(Cat(kSignatures, SignatureTag(image)));
  }
  Result<std::string> Manifest(const Digest& digest) override {
    return Whole(oci::BlobPath(digest));
  }
  Result<std::string> Blob(const oci::Descriptor& blob) override {
    return Whole(oci::BlobPath(blob.digest));
  }

 private:
  Result<std::string> Optional(const std::string& path) const {
    return parts_.Has(path) ? Whole(path) : Result<std::string>();
  }
  Result<std::string> Whole(const std::string& path) const {
    return std::string(TRY(parts_.Document(path)));
  }

  const ArchiveParts& parts_;
};

class LoadJob {
 public:
  // `pinned`: take these and no others, signed as `policy` asks for; null: all there are.
  LoadJob(store::Store& store, const SignaturePolicy& policy,
          const std::vector<registry::Reference>* pinned)
      : store_(store), policy_(policy), pinned_(pinned) {}

  Result<std::vector<LoadedImage>> Run(ByteSource& archive) {
    auto transaction = TRY(store_.Begin());
    auto parts = TRY(ArchiveParts::Read(archive, store_, *transaction));
    parts_ = &parts;
    TRY(Choose());
    std::vector<LoadedImage> loaded;
    for (const Candidate& image : images_)
      loaded.push_back(TRY(Commit(*transaction, image)));
    return loaded;
  }

 private:
  struct Candidate {
    Digest id;
    store::ImageRecord record;
    std::vector<registry::Reference> names;
  };

  Result<> Choose() {
    if (pinned_ != nullptr)
      return TakePinned();
    const ArchiveParts& parts = *parts_;
    bool layout = parts.Has(oci::kIndexFile);
    bool docker = parts.Has(oci::kDockerFile);
    if (layout)
      TRY_CTX(oci::kIndexFile, TakeIndex());
    if (docker)
      TRY(TakeDockerFile());
    if (images_.empty()) {
      return Fail(Errc::kInvalid, layout || docker
                                      ? "the archive names no images"
                                      : "not an archive of images: it has neither index.json nor "
                                        "manifest.json");
    }
    return {};
  }

  Result<> TakePinned() {
    for (const registry::Reference& reference : *pinned_) {
      std::string name = reference.Canonical();
      oci::Descriptor descriptor;
      descriptor.digest = *reference.digest;
      if (const std::string& keys = KeysFor(policy_, reference); !keys.empty())
        TRY(CheckSigned(ArchivedSignatures(*parts_), reference, descriptor.digest, keys));
      auto manifest = TRY_CTX(name, FindManifest(descriptor, 0));
      Candidate* image = TRY_CTX(name, TakeManifest(manifest));
      TRY_CTX(name, CheckPlatform(*image));
      AddName(*image, reference);
    }
    return {};
  }

  static Result<> CheckPlatform(const Candidate& image) {
    auto config = TRY(oci::ParseImageConfig(image.record.config));
    oci::Platform host = oci::HostPlatform();
    if (!config.platform.architecture.empty() && oci::PlatformScore(host, config.platform) == 0)
      return Fail(Errc::kNotFound,
                  Cat("the archive has it for ", oci::PlatformName(config.platform),
                      " only, and this device is ", oci::PlatformName(host)));
    return {};
  }

  // The images of index.json: a manifest is one, and so is an index, of whose manifests the one for
  // this machine is taken.
  Result<> TakeIndex() {
    auto json = TRY(parts_->Document(oci::kIndexFile));
    auto index = TRY(oci::ParseIndex(json, ""));
    for (const oci::IndexEntry& entry : index.manifests) {
      auto manifest = TRY(FindManifest(entry.descriptor, 0));
      Candidate* image = TRY(TakeManifest(manifest));
      bool whole = !entry.full_name.empty();
      // A bare tag names no repository.
      bool bare = entry.ref_name.find_first_of(":/") == std::string::npos;
      if (auto name =
              whole || !bare ? NameOf(whole ? entry.full_name : entry.ref_name) : std::nullopt)
        AddName(*image, std::move(*name));
    }
    return {};
  }

  Result<oci::Descriptor> FindManifest(const oci::Descriptor& descriptor, size_t depth) {
    auto json = TRY(parts_->Document(oci::BlobPath(descriptor.digest)));
    if (TRY(oci::KindOf(descriptor.media_type, json)) == oci::DocumentKind::kManifest)
      return descriptor;
    if (depth == kMaxDepth)
      return Fail(Errc::kInvalid, Cat("more than ", kMaxDepth, " indexes inside each other"));
    auto index = TRY(oci::ParseIndex(json, descriptor.media_type));
    // Archives often have the manifests of some platforms only.
    std::erase_if(index.manifests, [this](const oci::IndexEntry& entry) {
      return !parts_->Has(oci::BlobPath(entry.descriptor.digest));
    });
    auto selected = oci::SelectManifest(index, oci::HostPlatform());
    if (pinned_ != nullptr)
      return FindManifest(TRY(std::move(selected)), depth + 1);
    if (!selected && !index.manifests.empty())
      selected = index.manifests.front().descriptor;  // of another platform: said when it is run
    if (!selected)
      return Fail(Errc::kInvalid, "the archive has none of the manifests its index names");
    return FindManifest(*selected, depth + 1);
  }

  Result<Candidate*> TakeManifest(const oci::Descriptor& descriptor) {
    auto json = TRY(parts_->Document(oci::BlobPath(descriptor.digest)));
    auto manifest = TRY(oci::ParseManifest(json, descriptor.media_type));
    std::vector<std::string> layers;
    for (const oci::Layer& layer : manifest.layers)
      layers.push_back(oci::BlobPath(layer.descriptor.digest));
    Candidate image = TRY(Check(oci::BlobPath(manifest.config.digest), layers));
    image.record.manifest = json;
    image.record.media_type = manifest.media_type;
    return Add(std::move(image));
  }

  Result<> TakeDockerFile() {
    auto json = TRY(parts_->Document(oci::kDockerFile));
    auto listed = TRY(oci::ParseDockerFile(json));
    for (const oci::DockerImage& entry : listed) {
      Candidate checked = TRY(Check(entry.config, entry.layers));
      Candidate* image = TRY(Add(std::move(checked)));
      for (const std::string& tag : entry.tags) {
        auto name = TRY_CTX(oci::kDockerFile, registry::Reference::Parse(tag));
        if (name.digest)
          return Fail(Errc::kInvalid, Cat(oci::kDockerFile, ": ", tag, " is no name of an image"));
        AddName(*image, std::move(name));
      }
    }
    return {};
  }

  // The configuration and the layers it tells of, which must be those of the archive.
  Result<Candidate> Check(const std::string& config_path, const std::vector<std::string>& layers) {
    Candidate image;
    image.record.config = TRY(parts_->Document(config_path));
    image.id = Digest::Of(image.record.config);
    auto config = TRY_CTX(config_path, oci::ParseImageConfig(image.record.config));
    if (config.diff_ids.size() != layers.size()) {
      return Fail(Errc::kInvalid,
                  Cat("image ", config_path, ": the configuration names ", config.diff_ids.size(),
                      " layers, the archive ", layers.size()));
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      Digest diff_id = TRY(parts_->Layer(layers[i]));
      if (diff_id != config.diff_ids[i]) {
        return Fail(Errc::kCorrupt,
                    Cat("layer ", layers[i], " does not match its diffID: the configuration says ",
                        config.diff_ids[i].string(), ", it is ", diff_id.string()));
      }
    }
    image.record.diff_ids = std::move(config.diff_ids);
    return image;
  }

  // An archive that is both layout and Docker's names each image twice; the layout has its
  // manifest.
  Result<Candidate*> Add(Candidate image) {
    for (Candidate& known : images_) {
      if (known.id == image.id)
        return &known;
    }
    if (images_.size() == kMaxImages)
      return Fail(Errc::kInvalid, Cat("the archive has more than ", kMaxImages, " images"));
    if (image.record.manifest.empty()) {
      std::vector<oci::PlainLayer> layers;
      for (const Digest& diff_id : image.record.diff_ids) {
        uint64_t size = TRY(store_.ArchiveSize(diff_id));
        layers.push_back({diff_id, size});
      }
      image.record.manifest = oci::PlainManifest(image.record.config, layers);
      image.record.media_type = oci::kOciManifest;
    }
    return &images_.emplace_back(std::move(image));
  }

  static void AddName(Candidate& image, registry::Reference name) {
    std::string canonical = name.Canonical();
    bool known = std::any_of(
        image.names.begin(), image.names.end(),
        [&](const registry::Reference& other) { return other.Canonical() == canonical; });
    if (!known)
      image.names.push_back(std::move(name));
  }

  // The same image under another manifest, as when it was pulled before.
  std::optional<Digest> FindSame(const Digest& id) const {
    for (const Digest& digest : store_.Images()) {
      auto image = store_.Find(digest);
      if (image != nullptr && image->config_digest == id)
        return digest;
    }
    return std::nullopt;
  }

  Result<LoadedImage> Commit(store::Transaction& transaction, const Candidate& image) {
    LoadedImage loaded{image.id, {}, {}};
    std::vector<std::string> refs;
    for (const registry::Reference& name : image.names) {
      refs.push_back(name.Canonical());
      loaded.names.push_back(name.Familiar());
      auto before = store_.Resolve(refs.back());
      auto other = before ? store_.Find(*before) : nullptr;
      if (other != nullptr && other->config_digest != image.id)
        loaded.taken.emplace_back(loaded.names.back(), other->config_digest);
    }
    auto same = FindSame(image.id);
    if (!same) {
      TRY(transaction.Commit(image.record, refs));
      return loaded;
    }
    for (const std::string& ref : refs)
      TRY(store_.SetRef(ref, *same));
    return loaded;
  }

  store::Store& store_;
  const SignaturePolicy& policy_;
  const std::vector<registry::Reference>* pinned_;
  const ArchiveParts* parts_ = nullptr;
  std::vector<Candidate> images_;
};

}  // namespace

Result<std::vector<LoadedImage>> Images::Load(ByteSource& archive, const CancelFlag& cancel) {
  TRY(BeginTransfer(cancel, TransferKind::kArchive));
  PacedSource paced(archive, pressure_);
  auto result = LoadJob(*store_, signatures_, nullptr).Run(paced);
  EndTransfer(cancel, TransferKind::kArchive);
  return result;
}

Result<> Images::LoadPinned(ByteSource& archive, const std::vector<registry::Reference>& images,
                            const CancelFlag& cancel) {
  TRY(BeginTransfer(cancel, TransferKind::kArchive));
  PacedSource paced(archive, pressure_);
  auto result = LoadJob(*store_, signatures_, &images).Run(paced);
  EndTransfer(cancel, TransferKind::kArchive);
  TRY(std::move(result));
  return {};
}

}  // namespace wherry::engine
