// Pushing an image: layers, configuration, manifest. One job on one worker.
//
// The store keeps no compressed layers. A layer is uploaded only when the registry has none of the
// blobs it is known by: that of the image's own manifest, those of other images here, those of the
// image the registry has under this tag now. What is uploaded is compressed anew, so that the
// manifest may differ from the one that was pulled; the image ID stays.
#include <map>

#include "core/base/text.h"
#include "core/oci/manifest_edit.h"
#include "engine/images.h"
#include "engine/pull_progress.h"
#include "net/registry/client.h"
#include "net/registry/push_client.h"
#include "store/compress.h"
#include "store/hashing_source.h"

namespace wherry::engine {

namespace {

constexpr size_t kShortDigest = 12;
constexpr size_t kMostMounts = 3;  // attempts for one blob

// A layer's archive from the store, verified and compressed.
class LayerContent final : public ByteSource {
 public:
  static Result<std::unique_ptr<ByteSource>> Open(store::Store& store, const Digest& diff_id,
                                                  uint64_t size, ProgressSink* sink,
                                                  const std::string& id) {
    auto content = std::make_unique<LayerContent>(sink, id, size);
    content->archive_ = TRY(store.OpenLayer(diff_id));
    content->verified_ = std::make_unique<store::HashingSource>(
        *content->archive_,
        store::HashingSource::Expected{Cat("layer ", diff_id.string()), diff_id, size});
    content->compressed_ = TRY(store::Compress(*content->verified_));
    return content;
  }
  LayerContent(ProgressSink* sink, const std::string& id, uint64_t size)
      : progress_(sink, id, size, "Pushing") {}

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(compressed_->Read(out));
    TRY(progress_.Count(verified_->bytes() - told_));
    told_ = verified_->bytes();
    return count;
  }

 private:
  PullProgress progress_;
  uint64_t told_ = 0;
  std::unique_ptr<ByteSource> archive_;
  std::unique_ptr<store::HashingSource> verified_;
  std::unique_ptr<ByteSource> compressed_;
};

// A blob that a layer is known by.
struct KnownBlob {
  oci::Layer layer;
  std::string repository;  // of the same registry, where it is; empty: unknown
};

class PushJob {
 public:
  PushJob(store::Store* store, const registry::Options& options, const PushRequest& request,
          registry::Reference reference, ProgressSink& sink)
      : store_(store),
        options_(options),
        request_(request),
        reference_(std::move(reference)),
        sink_(sink),
        client_(options, reference_, request.credentials, request.cancel.get()) {}

  Result<PushedTag> Run(const store::Image& image) {
    auto manifest = TRY(oci::ParseManifest(image.manifest, image.media_type));
    if (manifest.layers.size() != image.layers.size())
      return Fail(Errc::kCorrupt, "the manifest has another number of layers than the image");
    for (const store::LayerInfo& layer : image.layers)
      TRY(Tell("Preparing", layer.diff_id));
    LearnFromStore();
    std::vector<std::optional<oci::Layer>> pushed;
    bool changed = false;
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      auto layer = TRY_CTX(Cat("layer ", ShortId(image.layers[i].diff_id)),
                           PushLayer(manifest, i, image.layers[i].diff_id));
      bool same = layer.descriptor.digest == manifest.layers[i].descriptor.digest;
      pushed.push_back(same ? std::nullopt : std::optional(std::move(layer)));
      changed |= !same;
    }
    TRY_CTX("configuration", PushConfig(image));
    std::string bytes = changed
                            ? TRY(oci::ReplaceLayers(image.manifest, manifest.media_type, pushed))
                            : image.manifest;
    Digest digest = TRY(client_.PutManifest(reference_.tag, bytes, manifest.media_type));
    registry::Reference by_digest = reference_;
    by_digest.digest = digest;
    if (store_->Resolve(by_digest.Canonical()) != image.manifest_digest)
      TRY(store_->SetRef(by_digest.Canonical(), image.manifest_digest));
    return PushedTag{reference_.tag, digest, bytes.size()};
  }

 private:
  static std::string ShortId(const Digest& digest) { return digest.hex().substr(0, kShortDigest); }

  Result<> Tell(std::string status, const Digest& layer) {
    if (!sink_({std::move(status), ShortId(layer)}))
      return Fail(Errc::kCancelled, "the push was cancelled");
    return {};
  }

  void Learn(std::string_view manifest_json, std::string_view media_type,
             std::span<const Digest> diff_ids, const std::string& repository) {
    auto manifest = oci::ParseManifest(manifest_json, media_type);
    if (!manifest || manifest->layers.size() != diff_ids.size())
      return;
    for (size_t i = 0; i < diff_ids.size(); ++i)
      known_.emplace(diff_ids[i], KnownBlob{std::move(manifest->layers[i]), repository});
  }

  // By the names of an image: the repositories of this registry it came from or went to.
  void LearnFromStore() {
    auto refs = store_->Refs();
    for (const store::ImageKey& key : store_->Keys()) {
      auto image = store_->Find(key.manifest_digest);
      if (image == nullptr)
        continue;
      std::vector<Digest> diff_ids;
      for (const store::LayerInfo& layer : image->layers)
        diff_ids.push_back(layer.diff_id);
      Learn(image->manifest, image->media_type, diff_ids, {});
      for (const store::Ref& ref : refs) {
        auto name = registry::Reference::Parse(ref.name);
        // A tag may be local only; a digest has been there.
        if (ref.manifest_digest == key.manifest_digest && name && name->digest &&
            name->registry == reference_.registry && name->repository != reference_.repository)
          Learn(image->manifest, image->media_type, diff_ids, name->repository);
      }
    }
  }

  // Just hints, so that a failure means nothing: what is pushed is often the successor of what is
  // there, or was compressed here before.
  bool LearnFromRegistry() {
    if (std::exchange(asked_, true))
      return false;
    registry::Client client(options_, reference_, request_.credentials, request_.cancel.get());
    auto fetched = client.GetManifest();
    if (!fetched)
      return false;
    auto manifest = oci::ParseManifest(fetched->bytes, fetched->media_type);
    auto text = manifest ? client.GetBlob(manifest->config) : Fail(Errc::kNotFound, {});
    auto config = text ? oci::ParseImageConfig(*text) : Fail(Errc::kNotFound, {});
    if (config)
      Learn(fetched->bytes, fetched->media_type, config->diff_ids, {});
    return config.has_value();
  }

  // One of the blobs the layer is known by, when the repository has it or can be given it.
  Result<std::optional<oci::Layer>> FindLayer(const oci::Manifest& manifest,
                                              const Digest& diff_id) {
    auto [first, last] = known_.equal_range(diff_id);
    std::map<Digest, const oci::Layer*> asked;
    for (auto known = first; known != last; ++known) {
      const oci::Layer& layer = known->second.layer;
      if (!oci::LayerType(manifest.media_type, layer.compression) ||
          !asked.emplace(layer.descriptor.digest, &layer).second)
        continue;
      if (TRY(client_.FindBlob(layer.descriptor.digest)) == layer.descriptor.size) {
        TRY(Tell("Layer already exists", diff_id));
        return layer;
      }
    }
    size_t mounts = 0;
    for (auto known = first; known != last && mounts < kMostMounts; ++known) {
      const auto& [layer, repository] = known->second;
      if (repository.empty() || !asked.contains(layer.descriptor.digest))
        continue;
      ++mounts;
      if (TRY(client_.Mount(layer.descriptor.digest, repository))) {
        TRY(Tell(Cat("Mounted from ", repository), diff_id));
        return layer;
      }
    }
    return std::nullopt;
  }

  Result<oci::Layer> PushLayer(const oci::Manifest& manifest, size_t number,
                               const Digest& diff_id) {
    // An image may have the same layer twice.
    if (auto done = pushed_.find(diff_id); done != pushed_.end())
      return done->second;
    // The image's own blob is the first to be asked for.
    known_.emplace_hint(known_.lower_bound(diff_id), diff_id,
                        KnownBlob{manifest.layers[number], {}});
    auto found = TRY(FindLayer(manifest, diff_id));
    if (!found && LearnFromRegistry())
      found = TRY(FindLayer(manifest, diff_id));
    if (!found)
      found = TRY(UploadLayer(diff_id));
    pushed_.emplace(diff_id, *found);
    return std::move(*found);
  }

  Result<oci::Layer> UploadLayer(const Digest& diff_id) {
    uint64_t size = TRY(store_->ArchiveSize(diff_id));
    std::string id = ShortId(diff_id);
    auto blob =
        TRY(client_.Upload([&] { return LayerContent::Open(*store_, diff_id, size, &sink_, id); }));
    TRY(Tell("Pushed", diff_id));
    oci::Layer layer;
    layer.descriptor.digest = blob.digest;
    layer.descriptor.size = blob.size;
    layer.compression = oci::LayerCompression::kGzip;
    return layer;
  }

  Result<> PushConfig(const store::Image& image) {
    if (TRY(client_.FindBlob(image.config_digest)))
      return {};
    auto blob = TRY(client_.Upload([&]() -> Result<std::unique_ptr<ByteSource>> {
      return std::make_unique<TextSource>(image.config);
    }));
    if (blob.digest != image.config_digest)
      return Fail(Errc::kCorrupt, "it is damaged in the store");
    return {};
  }

  store::Store* store_;
  const registry::Options& options_;
  const PushRequest& request_;
  registry::Reference reference_;
  ProgressSink& sink_;
  registry::PushClient client_;
  std::multimap<Digest, KnownBlob> known_;  // by diffID
  std::map<Digest, oci::Layer> pushed_;     // by diffID
  bool asked_ = false;                      // the registry, for what it has
};

}  // namespace

Result<std::vector<PushedTag>> Images::PushTags(PushRequest& request, ProgressSink& sink) {
  const registry::Reference& wanted = request.reference;
  std::vector<registry::Reference> references;
  for (const store::Ref& ref : store_->Refs()) {
    auto reference = registry::Reference::Parse(ref.name);
    if (reference && !reference->digest && reference->registry == wanted.registry &&
        reference->repository == wanted.repository &&
        (request.all_tags || reference->tag == wanted.tag))
      references.push_back(std::move(*reference));
  }
  if (references.empty()) {
    return Fail(
        Errc::kNotFound,
        request.all_tags
            ? Cat("An image does not exist locally with the name: ", wanted.FamiliarRepository())
            : Cat("An image does not exist locally with the tag: ", wanted.Familiar()));
  }
  if (!sink({Cat("The push refers to repository [", wanted.registry, "/", wanted.repository, "]"),
             {}}))
    return Fail(Errc::kCancelled, "the push was cancelled");
  std::vector<PushedTag> pushed;
  for (registry::Reference& reference : references) {
    auto found = TRY(Find(reference.Canonical()));
    auto pin = Pin(found.image->manifest_digest);
    std::string name = reference.Familiar();
    PushJob job(store_, registry_options_, request, std::move(reference), sink);
    pushed.push_back(TRY_CTX(name, job.Run(*found.image)));
  }
  return pushed;
}

Result<std::vector<PushedTag>> Images::Push(PushRequest request, ProgressSink progress) {
  if (request.cancel == nullptr)
    request.cancel = std::make_shared<std::atomic<bool>>(false);
  TRY(BeginTransfer(request.cancel, TransferKind::kPull));
  auto pushed = PushTags(request, progress);
  EndTransfer(request.cancel, TransferKind::kPull);
  return pushed;
}

}  // namespace wherry::engine
