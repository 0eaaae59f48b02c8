#include "core/oci/image_spec.h"

#include <algorithm>
#include <span>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci/image_json.h"

namespace wherry::oci {

namespace {

constexpr size_t kMaxIndexEntries = 1000;
constexpr size_t kMaxListed = 20;  // platforms in an error
constexpr std::string_view kSchema1[] = {
    "application/vnd.docker.distribution.manifest.v1+json",
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

Result<Layer> ParseLayer(JsonValue value, size_t number) {
  std::string what = Cat("layer ", number);
  Layer layer;
  layer.descriptor = TRY(ParseDescriptor(value, what));
  std::string_view type = layer.descriptor.media_type;
  for (const LayerType& known : kLayerTypes) {
    if (known.media_type != type)
      continue;
    layer.compression = known.compression;
    if (layer.compression == LayerCompression::kZstd)
      layer.parts = ParseLayerParts(value["annotations"]);
    return layer;
  }
  if (type.find("nondistributable") != std::string_view::npos ||
      type.find("foreign") != std::string_view::npos) {
    return Fail(Errc::kUnsupported,
                Cat(what, " is a foreign layer (", Shown(type), "), which is not supported: its ",
                    "content is not in the registry"));
  }
  return Fail(Errc::kUnsupported,
              Cat(what, " has the media type '", Shown(type), "', which is not supported"));
}

// Members of an image configuration. Null is as good as absent, as in Go.
bool IsAbsent(JsonValue value) {
  return !value || value.IsNull();
}

std::unexpected<Error> WrongType(std::string_view key, std::string_view wanted) {
  return Fail(Errc::kInvalid, Cat("image configuration: ", key, " is not ", wanted));
}

Result<std::string> Text(JsonValue object, std::string_view key) {
  JsonValue value = object[key];
  if (IsAbsent(value))
    return std::string();
  if (!value.IsString())
    return WrongType(key, "a text");
  return std::string(value.str());
}

Result<std::vector<std::string>> Texts(JsonValue object, std::string_view key) {
  JsonValue value = object[key];
  if (IsAbsent(value))
    return std::vector<std::string>();
  if (!value.IsArray())
    return WrongType(key, "a list");
  for (JsonValue element : value) {
    if (!element.IsString())
      return WrongType(key, "a list of texts");
  }
  return value.strings();
}

// Entrypoint and Cmd may be a single text in old images.
Result<std::vector<std::string>> Words(JsonValue object, std::string_view key) {
  if (object[key].IsString())
    return std::vector<std::string>{std::string(object[key].str())};
  return Texts(object, key);
}

// Volumes and ExposedPorts are sets, written as the names of an object's members.
Result<std::vector<std::string>> Names(JsonValue object, std::string_view key) {
  JsonValue value = object[key];
  std::vector<std::string> names;
  if (IsAbsent(value))
    return names;
  if (!value.IsObject())
    return WrongType(key, "an object");
  for (JsonValue member : value)
    names.emplace_back(member.key());
  return names;
}

Result<std::map<std::string, std::string>> Labels(JsonValue object) {
  JsonValue value = object["Labels"];
  std::map<std::string, std::string> labels;
  if (IsAbsent(value))
    return labels;
  if (!value.IsObject())
    return WrongType("Labels", "an object");
  for (JsonValue label : value) {
    if (!label.IsString())
      return WrongType("Labels", "an object of texts");
    labels.emplace(label.key(), label.str());
  }
  return labels;
}

Result<std::vector<Digest>> DiffIds(JsonValue rootfs) {
  JsonValue list = rootfs["diff_ids"];
  std::vector<Digest> diff_ids;
  if (IsAbsent(list))
    return diff_ids;
  if (!list.IsArray())
    return WrongType("rootfs.diff_ids", "a list");
  if (list.size() > kMaxLayers)
    return Fail(Errc::kInvalid, Cat("image configuration: more than ", kMaxLayers, " layers"));
  for (JsonValue diff_id : list) {
    diff_ids.push_back(
        TRY_CTX("image configuration: rootfs.diff_ids", Digest::Parse(diff_id.str())));
  }
  return diff_ids;
}

Result<> ParseRunConfig(JsonValue run, ImageConfig& config) {
  if (IsAbsent(run))
    return {};
  if (!run.IsObject())
    return WrongType("config", "an object");
  config.user = TRY(Text(run, "User"));
  config.working_dir = TRY(Text(run, "WorkingDir"));
  config.stop_signal = TRY(Text(run, "StopSignal"));
  config.env = TRY(Texts(run, "Env"));
  config.entrypoint = TRY(Words(run, "Entrypoint"));
  config.cmd = TRY(Words(run, "Cmd"));
  config.volumes = TRY(Names(run, "Volumes"));
  config.exposed_ports = TRY(Names(run, "ExposedPorts"));
  config.labels = TRY(Labels(run));
  if (run["Healthcheck"].IsObject())
    config.healthcheck = run["Healthcheck"].Dump();
  return {};
}

bool IsIn(std::string_view type, std::span<const std::string_view> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Types that registries give when they do not know better.
constexpr std::string_view kGenericTypes[] = {"", "application/json", "application/octet-stream",
                                              "text/plain"};
constexpr std::string_view kManifestTypes[] = {kOciManifest, kDockerManifest};
constexpr std::string_view kIndexTypes[] = {kOciIndex, kDockerList};

// The type of a document by what it and the registry say; empty when neither does.
Result<std::string> TypeOf(std::string_view media_type, std::string_view own) {
  media_type = Trim(media_type.substr(0, media_type.find(';')));
  if (IsIn(media_type, kGenericTypes))
    return std::string(own);
  if (!own.empty() && own != media_type) {
    return Fail(Errc::kInvalid, Cat("the registry says the manifest is '", Shown(media_type),
                                    "', it says itself '", Shown(own), "'"));
  }
  return std::string(media_type);
}

Result<DocumentKind> KindByMembers(const JsonDocument& document) {
  if (document["manifests"].IsArray())
    return DocumentKind::kIndex;
  if (document["layers"].IsArray())
    return DocumentKind::kManifest;
  return Fail(Errc::kInvalid, "the document is neither a manifest nor an index");
}

}  // namespace

Result<DocumentKind> KindOf(std::string_view media_type, std::string_view json) {
  auto document = TRY(ParseDocument(json, "manifest", kMaxManifestBytes));
  std::string type = TRY(TypeOf(media_type, document["mediaType"].str()));
  int64_t version = document["schemaVersion"].integer();
  if (IsIn(type, kSchema1) || (type.empty() && version == 1)) {
    return Fail(
        Errc::kUnsupported,
        "the image has a manifest of Docker schema 1, which is not supported; push it again with a "
        "current tool");
  }
  bool is_manifest = IsIn(type, kManifestTypes);
  bool is_index = IsIn(type, kIndexTypes);
  if (!type.empty() && !is_manifest && !is_index) {
    return Fail(Errc::kUnsupported,
                Cat("manifest media type '", Shown(type), "' is not supported"));
  }
  if (version != 2)
    return Fail(Errc::kInvalid, "the manifest's schemaVersion is not 2");
  DocumentKind kind = is_index ? DocumentKind::kIndex : DocumentKind::kManifest;
  if (type.empty())
    kind = TRY(KindByMembers(document));
  bool like_manifest = !IsAbsent(document["layers"]) || !IsAbsent(document["config"]);
  bool like_index = !IsAbsent(document["manifests"]);
  if (kind == DocumentKind::kIndex ? like_manifest : like_index) {
    return Fail(Errc::kInvalid, "the document has the members of a manifest and of an index");
  }
  return kind;
}

Result<Manifest> ParseManifest(std::string_view json, std::string_view media_type) {
  if (TRY(KindOf(media_type, json)) != DocumentKind::kManifest)
    return Fail(Errc::kInvalid, "the document is no manifest");
  auto document = TRY(ParseDocument(json, "manifest", kMaxManifestBytes));
  Manifest manifest;
  manifest.media_type = TRY(TypeOf(media_type, document["mediaType"].str()));
  if (manifest.media_type.empty())
    manifest.media_type = kOciManifest;
  manifest.config = TRY_CTX("manifest", ParseDescriptor(document["config"], "config"));
  if (!IsIn(manifest.config.media_type, kConfigTypes)) {
    return Fail(Errc::kUnsupported,
                Cat("the artifact has a configuration of type '", Shown(manifest.config.media_type),
                    "': it is not a container image"));
  }
  if (manifest.config.size > kMaxConfigBytes)
    return Fail(Errc::kInvalid, "manifest: the configuration is too large");
  JsonValue layers = document["layers"];
  if (!layers.IsArray())
    return Fail(Errc::kInvalid, "manifest: layers is missing or not a list");
  if (layers.size() > kMaxLayers)
    return Fail(Errc::kInvalid, Cat("manifest: more than ", kMaxLayers, " layers"));
  for (JsonValue layer : layers) {
    manifest.layers.push_back(TRY_CTX("manifest", ParseLayer(layer, manifest.layers.size() + 1)));
  }
  return manifest;
}

Result<Index> ParseIndex(std::string_view json, std::string_view media_type) {
  if (TRY(KindOf(media_type, json)) != DocumentKind::kIndex)
    return Fail(Errc::kInvalid, "the document is no index");
  auto document = TRY(ParseDocument(json, "index", kMaxManifestBytes));
  Index index;
  index.media_type = TRY(TypeOf(media_type, document["mediaType"].str()));
  if (index.media_type.empty())
    index.media_type = kOciIndex;
  JsonValue manifests = document["manifests"];
  if (!manifests.IsArray())
    return Fail(Errc::kInvalid, "index: manifests is missing or not a list");
  if (manifests.size() > kMaxIndexEntries) {
    return Fail(Errc::kInvalid, Cat("index: more than ", kMaxIndexEntries, " manifests"));
  }
  for (JsonValue value : manifests) {
    IndexEntry entry;
    entry.descriptor =
        TRY_CTX("index", ParseDescriptor(value, Cat("manifest ", index.manifests.size() + 1)));
    JsonValue platform = value["platform"];
    entry.platform = {std::string(platform["os"].str()),
                      std::string(platform["architecture"].str()),
                      std::string(platform["variant"].str())};
    JsonValue annotations = value["annotations"];
    entry.full_name = annotations[kFullNameAnnotation].str();
    entry.ref_name = annotations[kRefNameAnnotation].str();
    index.manifests.push_back(std::move(entry));
  }
  return index;
}

Result<Descriptor> SelectManifest(const Index& index, const Platform& wanted) {
  const IndexEntry* best = nullptr;
  const IndexEntry* nameless = nullptr;
  int best_score = 0;
  std::vector<std::string> offered;
  for (const IndexEntry& entry : index.manifests) {
    int score = PlatformScore(wanted, entry.platform);
    if (score > best_score) {
      best = &entry;
      best_score = score;
    }
    if (entry.platform == Platform()) {
      if (nameless == nullptr)
        nameless = &entry;
    } else if (entry.platform.os != "unknown") {  // unknown/unknown: attestations
      offered.push_back(PlatformName(entry.platform));
    }
  }
  if (best == nullptr && offered.empty())
    best = nameless;
  if (best != nullptr)
    return best->descriptor;
  std::string more = offered.size() > kMaxListed
                         ? Cat(" and ", offered.size() - kMaxListed, " more")
                         : std::string();
  offered.resize(std::min(offered.size(), kMaxListed));
  return Fail(
      Errc::kNotFound,
      Cat("no matching manifest for ", PlatformName(wanted),
          " in the manifest list entries; it has ",
          offered.empty() ? std::string("none that names a platform") : Join(offered, ", "), more));
}

Result<ImageConfig> ParseImageConfig(std::string_view json) {
  auto document = TRY(ParseDocument(json, "image configuration", kMaxConfigBytes));
  ImageConfig config;
  config.platform.os = TRY(Text(document.root(), "os"));
  config.platform.architecture = TRY(Text(document.root(), "architecture"));
  config.platform.variant = TRY(Text(document.root(), "variant"));
  config.created = TRY(Text(document.root(), "created"));
  config.diff_ids = TRY(DiffIds(document["rootfs"]));
  TRY(ParseRunConfig(document["config"], config));
  return config;
}

}  // namespace wherry::oci
