#include "engine/container_record.h"

#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/quota.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxRecord = 8 << 20;
constexpr std::string_view kHead = R"({"sha256":")";
constexpr std::string_view kMiddle = R"(","container":)";
constexpr std::string_view kTail = "}\n";
constexpr size_t kDigits = 64;

std::string RecordPath(const std::string& directory) {
  return Cat(directory, "/config.json");
}

std::string ToJson(const ContainerRecord& record) {
  JsonWriter json;
  json.Object().Field("version", 1).Field("id", record.id).Field("name", record.name);
  json.Field("created", FormatRfc3339Nano(record.created_nanos));
  json.Field("image_id", record.image_id.string()).Field("manifest", record.manifest.string());
  json.Field("rests", record.rests);
  json.Key("config").Raw(record.request.config_json);
  json.Key("host_config").Raw(record.request.host_config_json);
  json.Key("networking_config").Raw(record.request.networking_json);
  json.Key("volumes").Raw(record.request.volumes_json).End();
  return json.Take();
}

// The text of the member "container", checked against the digest in front of it.
Result<std::string_view> CheckedContent(std::string_view text) {
  size_t frame = kHead.size() + kDigits + kMiddle.size();
  bool framed = text.size() > frame + kTail.size() && text.starts_with(kHead) &&
                text.ends_with(kTail) && text.substr(kHead.size() + kDigits).starts_with(kMiddle);
  if (!framed)
    return Fail(Errc::kCorrupt, "is not a container record");
  std::string_view content = text.substr(frame, text.size() - frame - kTail.size());
  if (Digest::Of(content).hex() != text.substr(kHead.size(), kDigits)) {
    return Fail(Errc::kCorrupt, "does not match its checksum");
  }
  return content;
}

Result<ContainerRecord> Parse(std::string_view text) {
  std::string_view content = TRY(CheckedContent(text));
  auto document = TRY(JsonDocument::Parse(content, "container record"));
  if (document["version"].integer() != 1)
    return Fail(Errc::kUnsupported, "was written by another version of wherry");
  ContainerRecord record;
  record.id = document["id"].str();
  record.name = document["name"].str();
  record.created_nanos = TRY(ParseRfc3339(document["created"].str()));
  record.image_id = TRY(Digest::Parse(document["image_id"].str()));
  record.manifest = TRY(Digest::Parse(document["manifest"].str()));
  record.rests = document["rests"].boolean();
  record.request.config_json = document["config"].Dump();
  record.request.host_config_json = document["host_config"].Dump();
  record.request.networking_json = document["networking_config"].Dump();
  if (document["volumes"].IsObject())
    record.request.volumes_json = document["volumes"].Dump();
  return record;
}

}  // namespace

ContainerRecord RecordOf(const Container& container) {
  const ContainerConfig& config = *container.config;
  return {
      container.id,
      container.name,
      container.created_nanos,
      container.image_id,
      container.manifest,
      container.rests,
      {config.config_json, config.host_config_json, config.networking_json, config.volumes_json}};
}

Result<> SaveRecord(const std::string& directory, const ContainerRecord& record) {
  std::string content = ToJson(record);
  TRY(MakeDirs(directory, 0710));
  return ReplaceFile(RecordPath(directory),
                     Cat(kHead, Digest::Of(content).hex(), kMiddle, content, kTail), 0600,
                     Durability::kPersistent);
}

Result<ContainerRecord> LoadRecord(const std::string& directory, std::string_view id) {
  std::string text = TRY(ReadFile(RecordPath(directory), kMaxRecord));
  auto record = Parse(text);
  if (!record)
    return std::unexpected(std::move(record).error().Wrap(RecordPath(directory)));
  if (record->id != id) {
    return Fail(Errc::kCorrupt,
                Cat(RecordPath(directory), " is the record of another container: ", record->id));
  }
  return record;
}

Result<> RemoveContainerFiles(const std::string& directory, const std::string& run_directory) {
  if (unlink(RecordPath(directory).c_str()) != 0 && errno != ENOENT)
    return FailSys("unlink", RecordPath(directory));
  TRY(RemoveLayer(directory));
  return RemoveTree(run_directory);
}

}  // namespace wherry::engine
