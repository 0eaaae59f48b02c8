#include "engine/store_check.h"

#include <algorithm>
#include <set>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/oci/image_spec.h"
#include "engine/pull.h"
#include "net/registry/client.h"
#include "net/registry/reference.h"

namespace wherry::engine {

namespace {

// Of one round; what is beyond waits for the next.
constexpr size_t kMaxDamages = 20'000;
// An index that was damaged hides the objects it names until it has been repaired.
constexpr int kRounds = 4;
constexpr size_t kShortDigest = 12;

std::vector<std::string> NamesOf(const store::Store& store, const std::vector<Digest>& images) {
  std::vector<std::string> names;
  auto refs = store.Refs();
  for (const Digest& image : images) {
    size_t before = names.size();
    for (const store::Ref& ref : refs) {
      auto reference = ref.manifest_digest == image ? registry::Reference::Parse(ref.name)
                                                    : Fail(Errc::kNotFound, "");
      if (reference && !reference->digest)
        names.push_back(reference->Familiar());
    }
    if (names.size() == before)
      names.push_back(image.string());
  }
  return names;
}

class CheckJob final : public store::CheckSink {
 public:
  CheckJob(store::Store& store, const registry::Options& options, const CheckRequest& request,
           CheckListener& listener)
      : store_(store), options_(options), request_(request), listener_(listener) {}

  Result<CheckReport> Run() {
    for (int round = 0; round < kRounds; ++round) {
      damages_.clear();
      affected_.clear();
      again_ = false;
      auto count = TRY(store_.Check(request_.depth, *this));
      if (round == 0)
        report_.count = count;
      report_.left = count.damaged;
      if (count.damaged == 0 || !request_.repair)
        break;
      bool all = TRY(Repair());
      if (!all)
        break;
      report_.left = 0;
      if (!again_)
        break;
    }
    if (!report_.failures.empty())
      report_.left = std::max<uint64_t>(report_.left, 1);
    return std::move(report_);
  }

  bool OnDamage(const store::Damage& damage) override {
    if (!listener_.OnDamage(damage, NamesOf(store_, damage.images)))
      return false;
    affected_.insert(damage.images.begin(), damage.images.end());
    again_ = again_ || damage.kind == store::DamageKind::kIndex || damages_.size() >= kMaxDamages;
    if (request_.repair && damages_.size() < kMaxDamages) {
      damages_.push_back(damage);
      damages_.back().images.clear();
    }
    return !Cancelled();
  }
  bool OnProgress(const store::CheckCount& count) override {
    return !Cancelled() && listener_.OnProgress(count);
  }

 private:
  bool Cancelled() const { return request_.cancel != nullptr && request_.cancel->load(); }

  // False: something could not be repaired.
  Result<bool> Repair() {
    report_.failures.clear();
    auto aside = store_.SetAside(damages_);
    if (!aside)
      report_.failures.push_back(aside.error().message());
    for (const Digest& image : affected_) {
      std::string name = Join(NamesOf(store_, {image}), ", ");
      auto repaired = RepairImage(image);
      if (!repaired && repaired.error().code() == Errc::kCancelled)
        return std::unexpected(std::move(repaired).error());
      if (!repaired)
        report_.failures.push_back(
            Cat("image ", name, " is not repaired: ", repaired.error().message()));
      if (!listener_.OnStatus(Cat(repaired ? "Repaired " : "Not repaired: ", name)))
        return Fail(Errc::kCancelled, "the repair was cancelled");
    }
    return report_.failures.empty();
  }

  Result<> RepairImage(const Digest& digest) {
    auto sound = store_.Sound(digest);
    if (!sound && sound.error().code() == Errc::kNotFound)
      return {};  // removed meanwhile
    if (!sound)
      TRY(FetchFromAny(digest));
    auto image = store_.Find(digest);
    if (image == nullptr || image->layers.empty())
      return {};
    TRY(store_.Root(digest));
    return {};
  }

  // One repository after the other that the image has a name of.
  Result<> FetchFromAny(const Digest& digest) {
    std::set<std::string> asked;
    Result<> done = Fail(Errc::kUnavailable,
                         "no name tells which registry has it; pull it again, or remove it");
    for (const store::Ref& ref : store_.Refs()) {
      auto reference = registry::Reference::Parse(ref.name);
      if (ref.manifest_digest != digest || !reference ||
          !asked.insert(Cat(reference->registry, "/", reference->repository)).second)
        continue;
      reference->digest = digest;
      done = Fetch(*reference, digest);
      if (done || done.error().code() == Errc::kCancelled)
        break;
    }
    return done;
  }

  Result<> Fetch(const registry::Reference& reference, const Digest& digest) {
    auto credentials = request_.credentials.find(reference.registry);
    registry::Client client(
        options_, reference,
        credentials == request_.credentials.end() ? registry::Credentials() : credentials->second,
        request_.cancel.get());
    auto image = store_.Find(digest);
    registry::FetchedManifest fetched;
    if (image != nullptr)
      fetched = {image->manifest, image->media_type, digest};
    else
      fetched = TRY(client.GetManifest(digest));
    auto manifest = TRY(oci::ParseManifest(fetched.bytes, fetched.media_type));
    std::string config_json;
    if (image != nullptr)
      config_json = image->config;
    else
      config_json = TRY(client.GetBlob(manifest.config));
    auto config = TRY(oci::ParseImageConfig(config_json));
    if (config.diff_ids.size() != manifest.layers.size())
      return Fail(Errc::kInvalid, "configuration and manifest have different numbers of layers");
    auto transaction = TRY(store_.Begin());
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      const oci::Layer& layer = manifest.layers[i];
      if (store_.HasLayer(config.diff_ids[i]))
        continue;
      std::string name = layer.descriptor.digest.hex().substr(0, kShortDigest);
      if (!listener_.OnStatus(Cat("Fetching layer ", name, " of ", reference.Familiar())))
        return Fail(Errc::kCancelled, "the repair was cancelled");
      auto blob = TRY_CTX(Cat("layer ", name), client.OpenBlob(layer.descriptor));
      store::Transaction::LayerSource source{blob.get(), StoreCompression(layer.compression),
                                             layer.descriptor.digest, layer.descriptor.size,
                                             config.diff_ids[i]};
      TRY_CTX(Cat("layer ", name),
              transaction->AddLayer(source, [this](uint64_t) { return !Cancelled(); }));
    }
    TRY(transaction->Commit({fetched.bytes, manifest.media_type, config_json, config.diff_ids},
                            {}));
    return {};
  }

  store::Store& store_;
  const registry::Options& options_;
  const CheckRequest& request_;
  CheckListener& listener_;
  std::vector<store::Damage> damages_;
  std::set<Digest> affected_;
  bool again_ = false;
  CheckReport report_;
};

// Tells the log.
class LogSink final : public store::CheckSink {
 public:
  LogSink(const store::Store& store, const GoOn& go_on) : store_(store), go_on_(go_on) {}
  bool OnDamage(const store::Damage& damage) override {
    LogWarning(damage.path, " ", damage.what, "; needed by ",
               Join(NamesOf(store_, damage.images), ", "),
               "; `wherry store check --repair` fetches it again");
    if (damages_.size() < kMaxDamages)
      damages_.push_back(damage);
    return true;
  }
  bool OnProgress(const store::CheckCount& count) override { return go_on_(count); }
  const std::vector<store::Damage>& damages() const { return damages_; }

 private:
  const store::Store& store_;
  const GoOn& go_on_;
  std::vector<store::Damage> damages_;
};

}  // namespace

std::string_view DamageName(store::DamageKind kind) {
  switch (kind) {
    case store::DamageKind::kRefs:
      return "names";
    case store::DamageKind::kRecord:
      return "record";
    case store::DamageKind::kIndex:
      return "index";
    case store::DamageKind::kArchive:
      return "archive";
    case store::DamageKind::kMetadata:
      return "metadata";
    case store::DamageKind::kTree:
      return "directory";
    case store::DamageKind::kObject:
      return "object";
  }
  return "";
}

Result<CheckReport> CheckStore(store::Store& store, const registry::Options& options,
                               const CheckRequest& request, CheckListener& listener) {
  return CheckJob(store, options, request, listener).Run();
}

Result<> CheckAndSetAside(store::Store& store, store::CheckDepth depth, const GoOn& go_on) {
  LogSink sink(store, go_on);
  TRY(store.Check(depth, sink));
  if (sink.damages().empty())
    return {};
  return store.SetAside(sink.damages());
}

}  // namespace wherry::engine
