#include "engine/image_trust.h"

#include "core/base/json.h"
#include "core/base/text.h"
#include "ota/image_signature.h"
#include "ota/release_files.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kBundleType = "application/vnd.dev.sigstore.bundle";
constexpr std::string_view kSimpleType = "application/vnd.dev.cosign.simplesigning.v1+json";
constexpr std::string_view kSignature = "dev.cosignproject.cosign/signature";
// Anybody who may push can add signatures; so many of each form are looked at.
constexpr int kMostSignatures = 16;

const std::string kNothing;

// What is not there is no error.
Result<std::string> Optional(Result<registry::FetchedManifest> fetched) {
  if (fetched)
    return std::move(fetched->bytes);
  if (fetched.error().code() == Errc::kNotFound)
    return "";
  return std::unexpected(std::move(fetched).error());
}

// Looks at signatures until one is good.
class Search {
 public:
  Search(SignatureSource& source, const Digest& image, std::vector<ota::PublicKey> keys)
      : source_(source), image_(image), keys_(std::move(keys)) {}

  Result<> Run() {
    TRY(Bundles());
    if (found_)
      return {};
    std::string tagged = TRY(source_.Tagged(image_));
    return tagged.empty() ? Result<>() : Layers(tagged, kSimpleType);
  }
  bool found() const { return found_; }
  // Why the last one was not good.
  const std::string& problem() const { return problem_; }

 private:
  Result<> Bundles() {
    std::string index = TRY(source_.Referrers(image_));
    if (index.empty())
      return {};
    JsonDocument document = TRY(JsonDocument::Parse(index, "the list of referrers"));
    int left = kMostSignatures;
    for (JsonValue entry : document["manifests"]) {
      std::string_view type = entry["artifactType"].str();
      if ((!type.empty() && !type.starts_with(kBundleType)) || found_ || left-- == 0)
        continue;
      Digest digest = TRY(Digest::Parse(entry["digest"].str()));
      std::string manifest = TRY(source_.Manifest(digest));
      TRY(Layers(manifest, kBundleType));
    }
    return {};
  }

  Result<> Layers(const std::string& manifest, std::string_view type) {
    JsonDocument document = TRY(JsonDocument::Parse(manifest, "the signature's manifest"));
    int left = kMostSignatures;
    for (JsonValue layer : document["layers"]) {
      if (!layer["mediaType"].str().starts_with(type) || found_ || left-- == 0)
        continue;
      oci::Descriptor descriptor;
      descriptor.digest = TRY(Digest::Parse(layer["digest"].str()));
      descriptor.size = static_cast<uint64_t>(std::max<int64_t>(layer["size"].integer(), 0));
      std::string blob = TRY(source_.Blob(descriptor));
      Judge(type == kBundleType ? ota::CheckBundle(blob, image_, keys_)
                                : ota::CheckSimpleSigning(
                                      blob, layer["annotations"][kSignature].str(), image_, keys_));
    }
    return {};
  }

  void Judge(const Result<>& result) {
    found_ = result.has_value();
    if (!result)
      problem_ = result.error().message();
  }

  SignatureSource& source_;
  const Digest& image_;
  std::vector<ota::PublicKey> keys_;
  bool found_ = false;
  std::string problem_ = "it has no signature";
};

}  // namespace

const std::string& KeysFor(const SignaturePolicy& policy, const registry::Reference& image) {
  std::string name = Cat(image.registry, "/", image.repository);
  const std::string* keys = &kNothing;
  size_t longest = 0;
  for (const auto& [prefix, directory] : policy) {
    bool fits = prefix == "*" || (name.starts_with(prefix) &&
                                  (name.size() == prefix.size() || name[prefix.size()] == '/'));
    if (fits && prefix.size() > longest) {
      longest = prefix.size();
      keys = &directory;
    }
  }
  return *keys;
}

std::string SignatureTag(const Digest& image) {
  return Cat(ReferrersTag(image), ".sig");
}

std::string ReferrersTag(const Digest& image) {
  return Cat("sha256-", image.hex());
}

Result<std::string> RegistrySignatures::Referrers(const Digest& image) {
  return Optional(client_.GetReferrers(image));
}

Result<std::string> RegistrySignatures::Tagged(const Digest& image) {
  return Optional(client_.GetManifestByTag(SignatureTag(image)));
}

Result<std::string> RegistrySignatures::Manifest(const Digest& digest) {
  registry::FetchedManifest manifest = TRY(client_.GetManifest(digest));
  return std::move(manifest.bytes);
}

Result<std::string> RegistrySignatures::Blob(const oci::Descriptor& blob) {
  return client_.GetBlob(blob);
}

Result<> CheckSigned(SignatureSource&& source, const registry::Reference& image,
                     const Digest& digest, const std::string& keys) {
  Search search(source, digest, TRY(ota::LoadKeys(keys)));
  TRY(search.Run());
  if (search.found())
    return {};
  return Fail(Errc::kDenied, Cat(image.Familiar(), " (", digest.string(),
                                 ") has to be signed by a key in ", keys, ": ", search.problem()));
}

Result<> ReadSignatures(SignatureSource& source, const Digest& image) {
  return Search(source, image, {}).Run();
}

}  // namespace wherry::engine
