// Saving images: one tar archive that is an OCI layout and has Docker's manifest.json too. The
// documents come first, so that whoever reads it as a stream knows the layers before they come.
#include <map>
#include <set>
#include <span>

#include "core/base/text.h"
#include "core/oci/archive_spec.h"
#include "engine/images.h"
#include "store/tar_writer.h"

namespace wherry::engine {

namespace {

constexpr size_t kPiece = size_t{32} << 10;

// "nginx", which stands for all tags of the repository, as in Docker.
bool IsRepositoryOnly(std::string_view name, const registry::Reference& reference) {
  return !reference.digest && reference.tag == "latest" && !name.ends_with(":latest");
}

}  // namespace

class SaveJob {
 public:
  SaveJob(Images& images, store::Store& store, ByteSink sink)
      : images_(images), store_(store), sink_(std::move(sink)) {}

  Result<> Run(const std::vector<std::string>& names) {
    for (const std::string& name : names)
      TRY(Choose(name));
    for (Chosen& chosen : chosen_)
      TRY_CTX(chosen.name, Describe(chosen));
    return Write();
  }

 private:
  struct Chosen {
    std::string name;  // as the user wrote it
    std::shared_ptr<const store::Image> image;
    std::shared_ptr<ImagePin> pin;
    std::set<std::string> refs;  // canonical, tags only
    std::string manifest;
  };

  Result<> Choose(const std::string& name) {
    auto reference = registry::Reference::Parse(name);
    bool any = false;
    if (reference && IsRepositoryOnly(name, *reference)) {
      std::string prefix = Cat(reference->registry, "/", reference->repository, ":");
      for (const store::Ref& ref : store_.Refs()) {
        if (!ref.name.starts_with(prefix) || ref.name.find('@') != std::string::npos)
          continue;
        TRY(Add(name, store_.Find(ref.manifest_digest), ref.name));
        any = true;
      }
    }
    if (any)
      return {};
    auto found = TRY(images_.Find(name));
    return Add(name, std::move(found.image), found.ref.value_or(""));
  }

  // Pinned first, then looked at again: a removal in between has either finished or sees the pin.
  Result<> Add(const std::string& name, std::shared_ptr<const store::Image> image,
               const std::string& ref) {
    Chosen* chosen = nullptr;
    for (Chosen& known : chosen_) {
      if (image != nullptr && known.image->manifest_digest == image->manifest_digest)
        chosen = &known;
    }
    if (chosen == nullptr) {
      auto pin = image != nullptr ? images_.Pin(image->manifest_digest) : nullptr;
      if (pin == nullptr || store_.Find(image->manifest_digest) == nullptr)
        return Fail(Errc::kNotFound, Cat("No such image: ", name));
      chosen = &chosen_.emplace_back(Chosen{name, std::move(image), std::move(pin), {}, {}});
    }
    if (!ref.empty() && ref.find('@') == std::string::npos)
      chosen->refs.insert(ref);
    return {};
  }

  Result<> Describe(Chosen& chosen) {
    std::vector<oci::PlainLayer> layers;
    oci::DockerImage entry{oci::BlobPath(chosen.image->config_digest), {}, {}};
    for (const store::LayerInfo& layer : chosen.image->layers) {
      auto known = sizes_.find(layer.diff_id);
      if (known == sizes_.end()) {
        uint64_t size = TRY(store_.ArchiveSize(layer.diff_id));
        known = sizes_.emplace(layer.diff_id, size).first;
      }
      layers.push_back({layer.diff_id, known->second});
      entry.layers.push_back(oci::BlobPath(layer.diff_id));
    }
    chosen.manifest = oci::PlainManifest(chosen.image->config, layers);
    oci::NamedManifest named{Digest::Of(chosen.manifest), chosen.manifest.size(), {}, {}};
    for (const std::string& ref : chosen.refs) {
      auto reference = TRY(registry::Reference::Parse(ref));
      entry.tags.push_back(reference.Familiar());
      named.name = ref;
      named.tag = reference.tag;
      index_.push_back(named);
    }
    if (chosen.refs.empty())
      index_.push_back(named);
    docker_.push_back(std::move(entry));
    return {};
  }

  Result<> Write() {
    TRY(File(oci::kLayoutFile, oci::LayoutJson()));
    TRY(File(oci::kIndexFile, oci::IndexJson(index_)));
    TRY(File(oci::kDockerFile, oci::DockerFileJson(docker_)));
    for (const char* name : oci::kBlobDirs)
      TRY(sink_(store::TarDirHeader(name)));
    for (const Chosen& chosen : chosen_) {
      TRY(Blob(chosen.image->config));
      TRY(Blob(chosen.manifest));
    }
    for (const Chosen& chosen : chosen_) {
      for (const store::LayerInfo& layer : chosen.image->layers)
        TRY_CTX(chosen.name, Layer(layer.diff_id));
    }
    return sink_(store::TarEnd());
  }

  Result<> File(std::string_view name, std::string_view content) {
    TRY(sink_(store::TarFileHeader(name, content.size())));
    TRY(sink_(content));
    return sink_(store::TarPadding(content.size()));
  }

  Result<> Blob(std::string_view content) {
    Digest digest = Digest::Of(content);
    return written_.insert(digest).second ? File(oci::BlobPath(digest), content) : Result<>();
  }

  Result<> Layer(const Digest& diff_id) {
    if (!written_.insert(diff_id).second)
      return {};
    uint64_t size = sizes_.at(diff_id);
    auto archive = TRY(store_.OpenLayer(diff_id));
    TRY(sink_(store::TarFileHeader(oci::BlobPath(diff_id), size)));
    std::string piece(kPiece, '\0');
    uint64_t total = 0;
    for (;;) {
      size_t count = TRY(archive->Read(std::as_writable_bytes(std::span(piece))));
      total += count;
      if (total > size || (count == 0 && total < size))
        return Fail(Errc::kCorrupt, Cat("layer ", diff_id.string(), " is damaged in the store"));
      if (count == 0)
        return sink_(store::TarPadding(size));
      TRY(sink_(std::string_view(piece).substr(0, count)));
    }
  }

  Images& images_;
  store::Store& store_;
  ByteSink sink_;
  std::vector<Chosen> chosen_;
  std::map<Digest, uint64_t> sizes_;  // of the layers' archives
  std::vector<oci::NamedManifest> index_;
  std::vector<oci::DockerImage> docker_;
  std::set<Digest> written_;  // blobs
};

Result<> Images::Save(const std::vector<std::string>& names, ByteSink sink,
                      const CancelFlag& cancel) {
  if (names.empty())
    return Fail(Errc::kInvalid, "no image is named");
  TRY(BeginTransfer(cancel, TransferKind::kArchive));
  auto result = SaveJob(*this, *store_, std::move(sink)).Run(names);
  EndTransfer(cancel, TransferKind::kArchive);
  return result;
}

}  // namespace wherry::engine
