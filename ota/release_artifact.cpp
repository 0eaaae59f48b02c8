#include "ota/release_artifact.h"

#include "core/base/byte_source.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "net/registry/client.h"
#include "net/registry/push_client.h"
#include "ota/release.h"

namespace wherry::ota {

namespace {

// "Guidance for an Empty Descriptor".
constexpr std::string_view kEmptyType = "application/vnd.oci.empty.v1+json";
constexpr std::string_view kEmpty = "{}";
constexpr std::string_view kDocumentType = "application/vnd.dsse.envelope.v1+json";

Result<> PushBlob(registry::PushClient& client, std::string_view content) {
  if (TRY(client.FindBlob(Digest::Of(content))))
    return {};
  TRY(client.Upload([&]() -> Result<std::unique_ptr<ByteSource>> {
    return std::make_unique<TextSource>(content);
  }));
  return {};
}

void WriteDescriptor(JsonWriter& json, std::string_view type, std::string_view content) {
  json.Object().Field("mediaType", type).Field("digest", Digest::Of(content).string());
  json.Field("size", content.size()).End();
}

std::string Manifest(std::string_view envelope) {
  JsonWriter json;
  json.Object().Field("schemaVersion", 2).Field("mediaType", oci::kOciManifest);
  json.Field("artifactType", kReleaseType).Key("config");
  WriteDescriptor(json, kEmptyType, kEmpty);
  json.Key("layers").Array();
  WriteDescriptor(json, kDocumentType, envelope);
  json.End().End();
  return json.Take();
}

}  // namespace

Result<registry::Reference> PushRelease(const registry::Options& options,
                                        const registry::Reference& to,
                                        registry::Credentials credentials,
                                        std::string_view envelope) {
  registry::PushClient client(options, to, std::move(credentials), nullptr);
  TRY(PushBlob(client, kEmpty));
  TRY(PushBlob(client, envelope));
  registry::Reference pushed = to;
  pushed.digest = TRY(client.PutManifest(to.tag, Manifest(envelope), oci::kOciManifest));
  return pushed;
}

Result<oci::Descriptor> OnlyLayer(std::string_view manifest, std::string_view what) {
  JsonDocument document = TRY(JsonDocument::Parse(manifest, "the manifest"));
  JsonValue layers = document["layers"];
  if (layers.size() != 1)
    return Fail(Errc::kInvalid, Cat(what, " has one layer; this one has ", layers.size()));
  JsonValue value = *layers.begin();
  oci::Descriptor layer;
  layer.digest = TRY(Digest::Parse(value["digest"].str()));
  layer.size = static_cast<uint64_t>(std::max<int64_t>(value["size"].integer(), 0));
  layer.media_type = value["mediaType"].str();
  return layer;
}

Result<std::string> PullRelease(const registry::Options& options, const registry::Reference& from,
                                registry::Credentials credentials,
                                const std::atomic<bool>* cancelled) {
  registry::Client client(options, from, std::move(credentials), cancelled);
  registry::FetchedManifest manifest = TRY(client.GetManifest());
  JsonDocument document = TRY(JsonDocument::Parse(manifest.bytes, from.Familiar()));
  if (document["artifactType"].str() != kReleaseType)
    return Fail(Errc::kInvalid, Cat(from.Familiar(), " is no release"));
  oci::Descriptor layer = TRY(OnlyLayer(manifest.bytes, "a release's artifact"));
  if (layer.size > kMaxRelease)
    return Fail(Errc::kInvalid, Cat(from.Familiar(), " is larger than a release may be (256 KiB)"));
  return client.GetBlob(layer);
}

}  // namespace wherry::ota
