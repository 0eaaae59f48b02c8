#include "core/oci/archive_spec.h"

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci/image_json.h"

namespace wherry::oci {

namespace {

constexpr size_t kMaxImages = 1000;
constexpr size_t kMaxTags = 1000;
constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kLayerType = "application/vnd.oci.image.layer.v1.tar";

void WriteDescriptor(JsonWriter& json, std::string_view type, const Digest& digest, uint64_t size) {
  json.Object().Field("mediaType", type).Field("digest", digest.string()).Field("size", size);
}

Result<std::string> Path(JsonValue value, std::string_view what) {
  if (!value.IsString())
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": ", what, " is missing or not a text"));
  std::string path = CleanPath(value.str());
  if (path.empty()) {
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": ", what, " '", Shown(value.str()),
                                    "' is no path inside of the archive; make the archive again"));
  }
  return path;
}

// Null is as good as absent, as in Go.
Result<JsonValue> List(JsonValue image, std::string_view key, size_t most) {
  JsonValue list = image[key];
  if (!list || list.IsNull())
    return JsonValue();
  if (!list.IsArray())
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": ", key, " is not a list"));
  if (list.size() > most)
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": more than ", most, " ", key));
  return list;
}

Result<DockerImage> ParseImage(JsonValue value) {
  if (!value.IsObject())
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": an image is not an object"));
  DockerImage image;
  image.config = TRY(Path(value["Config"], "Config"));
  JsonValue tags = TRY(List(value, "RepoTags", kMaxTags));
  for (JsonValue tag : tags) {
    if (!tag.IsString())
      return Fail(Errc::kInvalid, Cat(kDockerFile, ": a name of RepoTags is not a text"));
    image.tags.emplace_back(tag.str());
  }
  JsonValue layers = TRY(List(value, "Layers", kMaxLayers));
  for (JsonValue layer : layers)
    image.layers.push_back(TRY(Path(layer, "layer")));
  return image;
}

}  // namespace

std::string BlobPath(const Digest& digest) {
  return Cat("blobs/sha256/", digest.hex());
}

std::string CleanPath(std::string_view name) {
  std::string path;
  if (name.starts_with('/'))
    return path;
  for (std::string_view part : Split(name, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part == "..")
      return {};
    Append(path, path.empty() ? "" : "/", part);
  }
  return path;
}

Result<std::vector<DockerImage>> ParseDockerFile(std::string_view json) {
  auto document = TRY(ParseDocument(json, kDockerFile, kMaxManifestBytes, Root::kArray));
  if (document.root().size() > kMaxImages)
    return Fail(Errc::kInvalid, Cat(kDockerFile, ": more than ", kMaxImages, " images"));
  std::vector<DockerImage> images;
  for (JsonValue value : document.root())
    images.push_back(TRY(ParseImage(value)));
  return images;
}

std::string PlainManifest(std::string_view config, std::span<const PlainLayer> layers) {
  JsonWriter json;
  json.Object().Field("schemaVersion", 2).Field("mediaType", kOciManifest).Key("config");
  WriteDescriptor(json, kConfigType, Digest::Of(config), config.size());
  json.End().Key("layers").Array();
  for (const PlainLayer& layer : layers) {
    WriteDescriptor(json, kLayerType, layer.diff_id, layer.size);
    json.End();
  }
  json.End().End();
  return json.Take();
}

std::string LayoutJson() {
  return R"({"imageLayoutVersion":"1.0.0"})";
}

std::string IndexJson(std::span<const NamedManifest> manifests) {
  JsonWriter json;
  json.Object().Field("schemaVersion", 2).Field("mediaType", kOciIndex);
  json.Key("manifests").Array();
  for (const NamedManifest& manifest : manifests) {
    WriteDescriptor(json, manifest.media_type, manifest.digest, manifest.size);
    if (!manifest.name.empty()) {
      json.Key("annotations").Object();
      json.Field(kFullNameAnnotation, manifest.name).Field(kRefNameAnnotation, manifest.tag).End();
    }
    json.End();
  }
  json.End().End();
  return json.Take();
}

std::string DockerFileJson(std::span<const DockerImage> images) {
  JsonWriter json;
  json.Array();
  for (const DockerImage& image : images) {
    json.Object().Field("Config", image.config).Key("RepoTags");
    image.tags.empty() ? json.Null() : json.Strings(image.tags);
    json.Field("Layers", image.layers).End();
  }
  json.End();
  return json.Take();
}

}  // namespace wherry::oci
