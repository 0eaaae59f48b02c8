#include "core/oci/manifest_edit.h"

#include "core/oci/image_json.h"

namespace wherry::oci {

namespace {

struct TypeRow {
  std::string_view manifest;
  LayerCompression compression;
  std::string_view layer;
};
constexpr TypeRow kTypes[] = {
    {kOciManifest, LayerCompression::kNone, "application/vnd.oci.image.layer.v1.tar"},
    {kOciManifest, LayerCompression::kGzip, "application/vnd.oci.image.layer.v1.tar+gzip"},
    {kOciManifest, LayerCompression::kZstd, "application/vnd.oci.image.layer.v1.tar+zstd"},
    {kDockerManifest, LayerCompression::kNone, "application/vnd.docker.image.rootfs.diff.tar"},
    {kDockerManifest, LayerCompression::kGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip"},
};

void WriteLayers(JsonWriter& json, JsonValue old, std::string_view manifest_type,
                 std::span<const std::optional<Layer>> layers) {
  json.Array();
  size_t number = 0;
  for (JsonValue was : old) {
    const std::optional<Layer>& layer = layers[number++];
    if (!layer) {
      json.Value(was);
      continue;
    }
    json.Object().Field("mediaType", LayerType(manifest_type, layer->compression).value_or(""));
    json.Field("size", layer->descriptor.size);
    json.Field("digest", layer->descriptor.digest.string()).End();
  }
  json.End();
}

}  // namespace

std::optional<std::string_view> LayerType(std::string_view manifest_type,
                                          LayerCompression compression) {
  for (const TypeRow& row : kTypes) {
    if (row.manifest == manifest_type && row.compression == compression)
      return row.layer;
  }
  return std::nullopt;
}

Result<std::string> ReplaceLayers(std::string_view json, std::string_view manifest_type,
                                  std::span<const std::optional<Layer>> layers) {
  auto document = TRY(ParseDocument(json, "manifest", kMaxManifestBytes));
  if (document["layers"].size() != layers.size())
    return Fail(Errc::kInternal, "manifest: other layers than were pushed");
  JsonWriter writer;
  writer.Object();
  for (JsonValue member : document.root()) {
    writer.Key(member.key());
    member.key() == "layers" ? WriteLayers(writer, member, manifest_type, layers)
                             : (void)writer.Value(member);
  }
  writer.End();
  return writer.Take();
}

}  // namespace wherry::oci
