// Pulling an image: manifest, configuration, missing layers, commit. One job on one worker.
#include "engine/pull.h"

#include <optional>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/delta.h"
#include "engine/image_trust.h"
#include "engine/images.h"
#include "engine/pace.h"
#include "engine/partial_pull.h"
#include "engine/pull_progress.h"
#include "net/registry/client.h"

namespace wherry::engine {

namespace {

// What layers unpack to is known only afterwards; those of distributions are below this.
constexpr uint64_t kUsualExpansion = 3;
constexpr uint64_t kMetadataShare = 100;

// Counts a layer's bytes on their way from the network.
class CountingSource final : public ByteSource {
 public:
  CountingSource(ByteSource* inner, ProgressSink* sink, const oci::Layer& layer, uint64_t size)
      : inner_(inner), progress_(sink, ShortName(layer), size) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(inner_->Read(out));
    TRY(progress_.Count(count));
    return count;
  }

 private:
  ByteSource* inner_;
  PullProgress progress_;
};

// A layer's blob, asked for from where the store needs it.
class LayerBlob final : public ByteSource, public store::BlobStart {
 public:
  LayerBlob(registry::Client* client, ProgressSink* sink, const oci::Layer& layer)
      : client_(client), sink_(sink), layer_(layer) {}

  Result<> StartAt(uint64_t offset) override {
    blob_.reset();
    blob_ = TRY(client_->OpenBlob(layer_.descriptor, offset));
    progress_.emplace(sink_, ShortName(layer_), layer_.descriptor.size);
    return progress_->Count(offset);
  }

  void OnFreshStart(const Error& why) override {
    LogWarning(
        "layer ", layer_.descriptor.digest.string(),
        " is fetched from its start, because what an interrupted pull has left of it cannot be "
        "used: ",
        why.message());
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(blob_->Read(out));
    TRY(progress_->Count(count));
    return count;
  }

 private:
  registry::Client* client_;
  ProgressSink* sink_;
  const oci::Layer& layer_;
  std::unique_ptr<ByteSource> blob_;
  std::optional<PullProgress> progress_;
};

class PullJob {
 public:
  PullJob(store::Store* store, const registry::Options& options, const SignaturePolicy& signatures,
          const std::string& pressure, PullRequest& request, ProgressSink& sink)
      : store_(store),
        keys_(KeysFor(signatures, request.reference)),
        request_(request),
        sink_(sink),
        client_(options, request.reference, request.credentials, request.cancel.get()),
        pace_(pressure) {}

  Result<Digest> Run() {
    const registry::Reference& reference = request_.reference;
    auto first = TRY(client_.GetManifest());
    pulled_digest_ = first.digest;
    if (!keys_.empty())
      TRY(CheckSigned(RegistrySignatures(client_), reference, pulled_digest_, keys_));
    TRY(Tell({Cat("Pulling from ", RepositoryPath()), reference.TagOrDigest()}));
    auto manifest = TRY_CTX(reference.Familiar(), ResolvePlatform(std::move(first)));
    bool known = store_->Find(manifest.digest) != nullptr && store_->Sound(manifest.digest);
    if (known) {
      TRY(SetRefs(manifest.digest));
    } else {
      TRY_CTX(reference.Familiar(), Fetch(manifest));
    }
    TRY(Tell({Cat("Digest: ", pulled_digest_.string()), {}}));
    TRY(Tell(
        {Cat(known ? "Status: Image is up to date for " : "Status: Downloaded newer image for ",
             reference.Familiar()),
         {}}));
    return manifest.digest;
  }

  Result<PullPlan> Plan() {
    PullPlan plan;
    const registry::Reference& reference = request_.reference;
    auto first = TRY(client_.GetManifest());
    auto fetched = TRY_CTX(reference.Familiar(), ResolvePlatform(std::move(first)));
    plan.known = store_->Find(fetched.digest) != nullptr && store_->Sound(fetched.digest);
    auto manifest = TRY(oci::ParseManifest(fetched.bytes, fetched.media_type));
    std::string config_json = TRY(client_.GetBlob(manifest.config));
    auto config = TRY(CheckConfig(config_json, manifest));
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      const oci::Layer& layer = manifest.layers[i];
      bool here = store_->HasLayer(config.diff_ids[i]);
      plan.layers.push_back({ShortName(layer), layer.descriptor.size, here});
      if (here)
        continue;
      plan.download_bytes += layer.descriptor.size;
      bool compressed = layer.compression != oci::LayerCompression::kNone;
      plan.write_bytes += layer.descriptor.size * (compressed ? kUsualExpansion : 1);
    }
    plan.write_bytes += plan.write_bytes / kMetadataShare;
    auto fits = store_->CheckSpace(plan.write_bytes);
    if (!fits)
      plan.refusal = fits.error().message();
    return plan;
  }

 private:
  store::IngestProgress Paced() {
    return [this](uint64_t) {
      pace_.Wait();
      return true;
    };
  }

  Result<> Tell(const Progress& progress) {
    if (!sink_(progress))
      return Fail(Errc::kCancelled, "the pull was cancelled");
    return {};
  }

  // "library/nginx", as Docker words it.
  std::string RepositoryPath() const { return request_.reference.repository; }

  Result<oci::Platform> Wanted() const {
    return request_.platform ? oci::ParsePlatform(*request_.platform) : oci::HostPlatform();
  }

  // An index leads to the manifest for this machine.
  Result<registry::FetchedManifest> ResolvePlatform(registry::FetchedManifest fetched) {
    if (TRY(oci::KindOf(fetched.media_type, fetched.bytes)) == oci::DocumentKind::kManifest)
      return fetched;
    auto index = TRY(oci::ParseIndex(fetched.bytes, fetched.media_type));
    oci::Platform wanted = TRY(Wanted());
    auto descriptor = TRY(oci::SelectManifest(index, wanted));
    auto chosen = TRY(client_.GetManifest(descriptor.digest));
    if (TRY(oci::KindOf(chosen.media_type, chosen.bytes)) != oci::DocumentKind::kManifest) {
      return Fail(Errc::kUnsupported, "an index inside an index is not supported");
    }
    return chosen;
  }

  Result<oci::ImageConfig> CheckConfig(const std::string& config_json,
                                       const oci::Manifest& manifest) {
    auto config = TRY(oci::ParseImageConfig(config_json));
    if (config.diff_ids.size() != manifest.layers.size()) {
      return Fail(Errc::kInvalid, Cat("the configuration names ", config.diff_ids.size(),
                                      " layers, the manifest ", manifest.layers.size()));
    }
    oci::Platform wanted = TRY(Wanted());
    bool named = !config.platform.os.empty() && !config.platform.architecture.empty();
    if (named && oci::PlatformScore(wanted, config.platform) == 0) {
      return Fail(
          Errc::kNotFound,
          Cat("no matching manifest for ", oci::PlatformName(wanted), ": the image is only for ",
              oci::PlatformName(config.platform), "; to have it anyway pull with --platform ",
              oci::PlatformName(config.platform)));
    }
    return config;
  }

  Result<> Fetch(const registry::FetchedManifest& fetched) {
    auto manifest = TRY(oci::ParseManifest(fetched.bytes, fetched.media_type));
    std::string config_json = TRY(client_.GetBlob(manifest.config));
    auto config = TRY(CheckConfig(config_json, manifest));
    uint64_t needed = 0;
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      bool here = store_->HasLayer(config.diff_ids[i]);
      if (!here)
        needed += manifest.layers[i].descriptor.size;
      TRY(Tell({here ? "Already exists" : "Pulling fs layer", ShortName(manifest.layers[i])}));
    }
    TRY(EnsureSpace(needed));
    auto transaction = TRY(store_->Begin());
    Deltas deltas(store_, &client_, fetched.digest);
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      TRY_CTX(Cat("layer ", ShortName(manifest.layers[i])),
              FetchLayer(*transaction, deltas, manifest.layers[i], config.diff_ids[i]));
    }
    TRY(transaction->Commit({fetched.bytes, manifest.media_type, config_json, config.diff_ids},
                            Refs()));
    return Tell({WrittenText(transaction->written()), {}});
  }

  // What interrupted pulls have left goes when its space is needed.
  Result<> EnsureSpace(uint64_t needed) {
    auto fits = store_->CheckSpace(needed);
    if (fits || fits.error().code() != Errc::kNoSpace)
      return fits;
    TRY(store_->Collect({}, {}));
    return store_->CheckSpace(needed);
  }

  static std::string WrittenText(const store::WriteCount& written) {
    return Cat("Written: ", FormatSize(written.content), " of content and ",
               FormatSize(written.metadata), " of metadata; ", FormatSize(written.known),
               " of content were here already");
  }

  Result<> FetchLayer(store::Transaction& transaction, Deltas& deltas, const oci::Layer& layer,
                      const Digest& diff_id) {
    if (store_->HasLayer(diff_id)) {
      TRY(transaction.AddLayer({nullptr, store::Compression::kNone, {}, {}, diff_id}, {}));
      return {};
    }
    if (TRY(FetchDelta(transaction, deltas, layer, diff_id)))
      return Tell({"Pull complete", ShortName(layer)});
    store::Transaction::LayerSource source{nullptr, StoreCompression(layer.compression),
                                           layer.descriptor.digest, layer.descriptor.size, diff_id};
    if (MayHaveParts(*store_, layer)) {
      PartialPull partial(&client_, &sink_, layer);
      if (TRY(partial.Run(transaction, diff_id, Paced())))
        return Tell({"Pull complete", ShortName(layer)});
      if (auto whole = partial.TakeWhole()) {
        CountingSource counting(whole.get(), &sink_, layer, layer.descriptor.size);
        source.source = &counting;
        TRY(transaction.AddLayer(source, Paced()));
        return Tell({"Pull complete", ShortName(layer)});
      }
    }
    LayerBlob blob(&client_, &sink_, layer);
    source.source = &blob;
    source.start = &blob;
    TRY(transaction.AddLayer(source, Paced()));
    return Tell({"Pull complete", ShortName(layer)});
  }

  // False: the layer itself is needed, because there is no delta or none that can be used.
  Result<bool> FetchDelta(store::Transaction& transaction, Deltas& deltas, const oci::Layer& layer,
                          const Digest& diff_id) {
    auto apply = [&]() -> Result<bool> {
      auto delta = TRY(deltas.Find(layer, diff_id));
      if (!delta)
        return false;
      // Keeps the old layer for as long as it is read.
      TRY(transaction.AddLayer({nullptr, store::Compression::kNone, {}, {}, delta->from}, {}));
      auto blob = TRY(client_.OpenBlob(delta->descriptor));
      CountingSource counting(blob.get(), &sink_, layer, delta->descriptor.size);
      auto archive = TRY(store_->ApplyDelta(delta->from, counting));
      TRY(transaction.AddLayer(
          {archive.get(), store::Compression::kNone, std::nullopt, std::nullopt, diff_id},
          Paced()));
      return true;
    };
    auto applied = apply();
    if (applied || applied.error().code() == Errc::kCancelled ||
        applied.error().code() == Errc::kNoSpace)
      return applied;
    TRY(Tell({Cat("delta not usable: ", applied.error().message()), ShortName(layer)}));
    return false;
  }

  // The name the user gave, and the digest that was pulled under it.
  std::vector<std::string> Refs() const {
    registry::Reference by_digest = request_.reference;
    by_digest.digest = pulled_digest_;
    std::vector<std::string> refs{by_digest.Canonical()};
    if (!request_.reference.digest)
      refs.push_back(request_.reference.Canonical());
    return refs;
  }

  Result<> SetRefs(const Digest& manifest_digest) {
    for (const std::string& ref : Refs()) {
      if (store_->Resolve(ref) != manifest_digest)
        TRY(store_->SetRef(ref, manifest_digest));
    }
    return {};
  }

  store::Store* store_;
  const std::string& keys_;  // that have to have signed it; empty: none have to
  PullRequest& request_;
  ProgressSink& sink_;
  registry::Client client_;
  Digest pulled_digest_;
  Pace pace_;
};

void EnsureFlag(CancelFlag& cancel) {
  if (cancel == nullptr)
    cancel = std::make_shared<std::atomic<bool>>(false);
}

}  // namespace

store::Compression StoreCompression(oci::LayerCompression compression) {
  switch (compression) {
    case oci::LayerCompression::kNone:
      return store::Compression::kNone;
    case oci::LayerCompression::kGzip:
      return store::Compression::kGzip;
    case oci::LayerCompression::kZstd:
      return store::Compression::kZstd;
  }
  return store::Compression::kNone;
}

Result<Digest> Images::Pull(PullRequest request, ProgressSink progress) {
  EnsureFlag(request.cancel);
  TRY(BeginTransfer(request.cancel, TransferKind::kPull));
  if (!pressure_.empty())
    UseDiskLast();
  auto result = PullJob(store_, registry_options_, signatures_, pressure_, request, progress).Run();
  EndTransfer(request.cancel, TransferKind::kPull);
  return result;
}

Result<PullPlan> Images::Plan(PullRequest request) {
  EnsureFlag(request.cancel);
  TRY(BeginTransfer(request.cancel, TransferKind::kPull));
  ProgressSink nobody = [](const Progress&) { return true; };
  auto plan = PullJob(store_, registry_options_, signatures_, "", request, nobody).Plan();
  EndTransfer(request.cancel, TransferKind::kPull);
  return plan;
}

Result<CheckReport> Images::CheckStore(CheckRequest request, CheckListener& listener) {
  EnsureFlag(request.cancel);
  TRY(BeginTransfer(request.cancel, TransferKind::kPull));
  auto result = engine::CheckStore(*store_, registry_options_, request, listener);
  EndTransfer(request.cancel, TransferKind::kPull);
  return result;
}

Result<> Images::CheckSizes() {
  return CheckAndSetAside(*store_, store::CheckDepth::kSizes,
                          [this](const store::CheckCount&) { return !cancelled_; });
}

Result<> Images::CheckLogin(std::string_view host, const registry::Credentials& credentials) {
  registry::Reference reference;
  reference.registry = registry::NormaliseHost(host);
  return registry::Client(registry_options_, std::move(reference), credentials, nullptr)
      .CheckLogin();
}

}  // namespace wherry::engine
