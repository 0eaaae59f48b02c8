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

// Looks at signatures until one is good.
class Search {
 public:
  Search(registry::Client& client, const Digest& image, std::vector<ota::PublicKey> keys)
      : client_(client), image_(image), keys_(std::move(keys)) {}

  bool found() const { return found_; }
  // Why the last one was not good.
  const std::string& problem() const { return problem_; }

  // The bundles among what refers to the image (distribution-spec 1.1, "Listing Referrers").
  Result<> Bundles() {
    auto index = TRY(Optional(client_.GetReferrers(image_)));
    if (index.empty())
      return {};
    JsonDocument document = TRY(JsonDocument::Parse(index, "the list of referrers"));
    int left = kMostSignatures;
    for (JsonValue entry : document["manifests"]) {
      std::string_view type = entry["artifactType"].str();
      if ((!type.empty() && !type.starts_with(kBundleType)) || found_ || left-- == 0)
        continue;
      Digest digest = TRY(Digest::Parse(entry["digest"].str()));
      auto manifest = TRY(client_.GetManifest(digest));
      TRY(Layers(manifest.bytes, kBundleType));
    }
    return {};
  }

  // The manifest under the image's own tag for signatures.
  Result<> SignatureTag() {
    auto manifest = TRY(Optional(client_.GetManifestByTag(Cat("sha256-", image_.hex(), ".sig"))));
    return manifest.empty() ? Result<>() : Layers(manifest, kSimpleType);
  }

 private:
  // What is not there is no error.
  static Result<std::string> Optional(Result<registry::FetchedManifest> fetched) {
    if (fetched)
      return std::move(fetched->bytes);
    if (fetched.error().code() == Errc::kNotFound)
      return "";
    return std::unexpected(std::move(fetched).error());
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
      std::string blob = TRY(client_.GetBlob(descriptor));
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

  registry::Client& client_;
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

Result<> CheckSigned(registry::Client& client, const registry::Reference& image,
                     const Digest& digest, const std::string& keys) {
  Search search(client, digest, TRY(ota::LoadKeys(keys)));
  TRY(search.Bundles());
  if (!search.found())
    TRY(search.SignatureTag());
  if (search.found())
    return {};
  return Fail(Errc::kDenied, Cat(image.Familiar(), " (", digest.string(),
                                 ") has to be signed by a key in ", keys, ": ", search.problem()));
}

}  // namespace wherry::engine
