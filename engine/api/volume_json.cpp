#include "engine/api/volume_json.h"

#include "core/base/time.h"

namespace wherry::engine::api {

void WriteVolume(JsonWriter& json, const Volumes& volumes, const Volume& volume,
                 const VolumeUse* use) {
  json.Object().Field("CreatedAt", FormatRfc3339Nano(volume.created_nanos));
  json.Field("Driver", "local").Key("Labels").Object();
  for (const auto& [name, value] : volume.labels)
    json.Field(name, value);
  json.End().Field("Mountpoint", volumes.Mountpoint(volume.name)).Field("Name", volume.name);
  json.Key("Options").Object().End().Field("Scope", "local");
  if (use != nullptr) {
    json.Key("UsageData").Object().Field("RefCount", use->containers);
    json.Field("Size", use->bytes).End();
  }
  json.End();
}

}  // namespace wherry::engine::api
