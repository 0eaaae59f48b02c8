#include "core/oci/image_spec.h"

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::oci {

namespace {

constexpr size_t kMaxIndexEntries = 1000;
constexpr int64_t kMaxBlobBytes = int64_t{1} << 50;
constexpr std::string_view kSchema1[] = {"application/vnd.docker.distribution.manifest.v1+json",
                                         "application/vnd.docker.distribution.manifest.v1+prettyjws"};

struct LayerType {
  std::string_view media_type;
  LayerCompression compression;
};
constexpr LayerType kLayerTypes[] = {
    {"application/vnd.oci.image.layer.v1.tar", LayerCompression::kNone},
    {"application/vnd.oci.image.layer.v1.tar+gzip", LayerCompression::kGzip},
    {"application/vnd.oci.image.layer.v1.tar+zstd", LayerCompression::kZstd},
    {"application/vnd.docker.image.rootfs.diff.tar", LayerCompression::kNone},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", LayerCompression::kGzip},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", LayerCompression::kZstd},
};

constexpr std::string_view kConfigTypes[] = {"application/vnd.oci.image.config.v1+json",
                                             "application/vnd.docker.container.image.v1+json"};

Result<Descriptor> ParseDescriptor(JsonValue value, std::string_view what) {
  if (!value.IsObject()) return Fail(Errc::kInvalid, Cat(what, " is missing or not an object"));
  Descriptor descriptor;
  descriptor.media_type = value["mediaType"].str();
  descriptor.digest = TRY_CTX(what, Digest::Parse(value["digest"].str()));
  int64_t size = value["size"].integer(-1);
  if (!value["size"].IsNumber() || size < 0 || size > kMaxBlobBytes) {
    return Fail(Errc::kInvalid, Cat(what, ": size is missing or out of range"));
  }
  descriptor.size = static_cast<uint64_t>(size);
  return descriptor;
}

Result<Layer> ParseLayer(JsonValue value, size_t number) {
  std::string what = Cat("layer ", number);
  Layer layer{TRY(ParseDescriptor(value, what)), LayerCompression::kNone};
  std::string_view type = layer.descriptor.media_type;
  for (const LayerType& known : kLayerTypes) {
    if (known.media_type != type) continue;
    layer.compression = known.compression;
    return layer;
  }
  if (type.find("nondistributable") != std::string_view::npos || type.find("foreign") != std::string_view::npos) {
    return Fail(Errc::kUnsupported, Cat(what, " is a foreign layer (", type, "), which is not supported"));
  }
  return Fail(Errc::kUnsupported, Cat(what, " has the media type ", type, ", which is not supported"));
}

bool IsConfigType(std::string_view type) {
  for (std::string_view known : kConfigTypes) {
    if (known == type) return true;
  }
  return false;
}

Result<JsonDocument> ParseDocument(std::string_view json, std::string_view what, size_t limit) {
  if (json.size() > limit) return Fail(Errc::kInvalid, Cat(what, " is larger than ", limit, " bytes"));
  auto document = TRY(JsonDocument::Parse(json, what));
  if (!document.root().IsObject()) return Fail(Errc::kInvalid, Cat(what, " is not a JSON object"));
  return document;
}

// Names of an object's members: Volumes and ExposedPorts are sets written as objects.
std::vector<std::string> Members(JsonValue object) {
  std::vector<std::string> names;
  if (!object.IsObject()) return names;
  for (JsonValue member : object) names.emplace_back(member.key());
  return names;
}

// Entrypoint and Cmd may be a single string in old images.
std::vector<std::string> Words(JsonValue value) {
  if (value.IsString()) return {std::string(value.str())};
  return value.strings();
}

}  // namespace

Result<DocumentKind> KindOf(std::string_view media_type, std::string_view json) {
  media_type = Trim(media_type.substr(0, media_type.find(';')));
  auto document = TRY(ParseDocument(json, "manifest", kMaxManifestBytes));
  std::string_view own = document["mediaType"].str();
  std::string_view type = media_type == "application/json" || media_type.empty() ||
                                  media_type == "application/octet-stream" || media_type == "text/plain"
                              ? own
                              : media_type;
  if (type == kOciManifest || type == kDockerManifest) return DocumentKind::kManifest;
  if (type == kOciIndex || type == kDockerList) return DocumentKind::kIndex;
  for (std::string_view schema1 : kSchema1) {
    if (type == schema1) {
      return Fail(Errc::kUnsupported, "the image has a manifest of Docker schema 1, which is not supported; push it again "
                                      "with a current tool");
    }
  }
  if (!type.empty()) return Fail(Errc::kUnsupported, Cat("manifest media type ", type, " is not supported"));
  if (document["schemaVersion"].integer() != 2) return Fail(Errc::kInvalid, "the manifest has no known schema version");
  if (document["manifests"].IsArray()) return DocumentKind::kIndex;
  if (document["layers"].IsArray()) return DocumentKind::kManifest;
  return Fail(Errc::kInvalid, "the document is neither a manifest nor an index");
}

Result<Manifest> ParseManifest(std::string_view json, std::string_view media_type) {
  auto document = TRY(ParseDocument(json, "manifest", kMaxManifestBytes));
  Manifest manifest;
  std::string_view own = document["mediaType"].str();
  manifest.media_type = own.empty() ? (media_type == kDockerManifest ? media_type : kOciManifest) : own;
  if (document["schemaVersion"].integer() != 2) return Fail(Errc::kInvalid, "manifest: schemaVersion is not 2");
  manifest.config = TRY_CTX("manifest", ParseDescriptor(document["config"], "config"));
  if (!IsConfigType(manifest.config.media_type)) {
    return Fail(Errc::kUnsupported, Cat("the artifact has a configuration of type ", manifest.config.media_type,
                                        ": it is not a container image"));
  }
  if (manifest.config.size > kMaxConfigBytes) return Fail(Errc::kInvalid, "manifest: the configuration is too large");
  JsonValue layers = document["layers"];
  if (!layers.IsArray()) return Fail(Errc::kInvalid, "manifest: layers is missing or not a list");
  if (layers.size() > kMaxLayers) return Fail(Errc::kInvalid, Cat("manifest: more than ", kMaxLayers, " layers"));
  for (JsonValue layer : layers) {
    manifest.layers.push_back(TRY_CTX("manifest", ParseLayer(layer, manifest.layers.size() + 1)));
  }
  return manifest;
}

Result<Index> ParseIndex(std::string_view json, std::string_view media_type) {
  auto document = TRY(ParseDocument(json, "index", kMaxManifestBytes));
  Index index;
  std::string_view own = document["mediaType"].str();
  index.media_type = own.empty() ? media_type : own;
  JsonValue manifests = document["manifests"];
  if (!manifests.IsArray()) return Fail(Errc::kInvalid, "index: manifests is missing or not a list");
  if (manifests.size() > kMaxIndexEntries) return Fail(Errc::kInvalid, "index: more than 1000 manifests");
  for (JsonValue value : manifests) {
    IndexEntry entry;
    entry.descriptor = TRY_CTX("index", ParseDescriptor(value, Cat("manifest ", index.manifests.size() + 1)));
    JsonValue platform = value["platform"];
    entry.platform = {std::string(platform["os"].str()), std::string(platform["architecture"].str()),
                      std::string(platform["variant"].str())};
    index.manifests.push_back(std::move(entry));
  }
  return index;
}

Result<Descriptor> SelectManifest(const Index& index, const Platform& wanted) {
  const IndexEntry* best = nullptr;
  int best_score = 0;
  std::string offered;
  for (const IndexEntry& entry : index.manifests) {
    int score = PlatformScore(wanted, entry.platform);
    if (score > best_score) {
      best = &entry;
      best_score = score;
    }
    bool attestation = entry.platform.os == "unknown" || entry.platform.os.empty();
    if (!attestation) Append(offered, offered.empty() ? "" : ", ", PlatformName(entry.platform));
  }
  if (best == nullptr) {
    return Fail(Errc::kNotFound, Cat("no matching manifest for ", PlatformName(wanted), " in the manifest list entries; ",
                                     "it has ", offered.empty() ? std::string("none that names a platform") : offered));
  }
  return best->descriptor;
}

Result<ImageConfig> ParseImageConfig(std::string_view json) {
  auto document = TRY(ParseDocument(json, "image configuration", kMaxConfigBytes));
  ImageConfig config;
  config.platform = {std::string(document["os"].str()), std::string(document["architecture"].str()),
                     std::string(document["variant"].str())};
  config.created = document["created"].str();
  JsonValue diff_ids = document["rootfs"]["diff_ids"];
  if (diff_ids.size() > kMaxLayers) return Fail(Errc::kInvalid, "image configuration: too many layers");
  for (JsonValue diff_id : diff_ids) {
    config.diff_ids.push_back(TRY_CTX("image configuration: rootfs.diff_ids", Digest::Parse(diff_id.str())));
  }
  JsonValue run = document["config"];
  config.user = run["User"].str();
  config.working_dir = run["WorkingDir"].str();
  config.stop_signal = run["StopSignal"].str();
  config.env = run["Env"].strings();
  config.entrypoint = Words(run["Entrypoint"]);
  config.cmd = Words(run["Cmd"]);
  config.volumes = Members(run["Volumes"]);
  config.exposed_ports = Members(run["ExposedPorts"]);
  for (JsonValue label : run["Labels"]) config.labels.emplace(label.key(), label.str());
  if (run["Healthcheck"].IsObject()) config.healthcheck = run["Healthcheck"].Dump();
  return config;
}

}  // namespace wherry::oci
