#include "engine/build/image_state.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr size_t kMaxHistory = 10'000;

void SortedSet(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

void WriteSet(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  if (names.empty())
    return;
  json.Key(key).Object();
  for (const std::string& name : names)
    json.Key(name).Object().End();
  json.End();
}

void WriteText(JsonWriter& json, std::string_view key, std::string_view text) {
  if (!text.empty())
    json.Field(key, text);
}

void WriteTexts(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  if (!texts.empty())
    json.Field(key, texts);
}

void WriteConfig(JsonWriter& json, const ImageState& state) {
  const oci::ImageConfig& config = state.config;
  json.Key("config").Object();
  WriteSet(json, "ExposedPorts", config.exposed_ports);
  WriteText(json, "User", config.user);
  WriteTexts(json, "Env", config.env);
  WriteTexts(json, "Entrypoint", config.entrypoint);
  WriteTexts(json, "Cmd", config.cmd);
  if (!config.healthcheck.empty())
    json.Key("Healthcheck").Raw(config.healthcheck);
  WriteSet(json, "Volumes", config.volumes);
  WriteText(json, "WorkingDir", config.working_dir);
  if (!config.labels.empty()) {
    json.Key("Labels").Object();
    for (const auto& [name, value] : config.labels)
      json.Field(name, value);
    json.End();
  }
  WriteTexts(json, "OnBuild", state.on_build);
  WriteText(json, "StopSignal", config.stop_signal);
  WriteTexts(json, "Shell", state.shell);
  json.End();
}

}  // namespace

Result<ImageState> ParseImageState(std::string_view json) {
  ImageState state;
  state.config = TRY(oci::ParseImageConfig(json));  // bounds the document, too
  SortedSet(state.config.volumes);
  SortedSet(state.config.exposed_ports);
  auto document = TRY(JsonDocument::Parse(json, "image configuration"));
  state.author = document["author"].str();
  state.shell = document["config"]["Shell"].strings();
  state.on_build = document["config"]["OnBuild"].strings();
  for (JsonValue entry : document["history"]) {
    if (state.history.size() == kMaxHistory)
      return Invalid(
          {"image configuration: more than ", std::to_string(kMaxHistory), " entries of history"});
    HistoryEntry& past = state.history.emplace_back();
    past.created = entry["created"].str();
    past.created_by = entry["created_by"].str();
    past.comment = entry["comment"].str();
    past.author = entry["author"].str();
    past.empty_layer = entry["empty_layer"].boolean();
  }
  return state;
}

ImageState ScratchImage(const oci::Platform& platform) {
  ImageState state;
  state.config.platform = platform;
  return state;
}

Result<std::string> WriteImageState(const ImageState& state, std::string_view created) {
  JsonWriter json;
  json.Object();
  json.Field("architecture", state.config.platform.architecture);
  WriteText(json, "variant", state.config.platform.variant);
  json.Field("os", state.config.platform.os);
  WriteText(json, "author", state.author);
  json.Field("created", created);
  WriteConfig(json, state);
  json.Key("rootfs").Object().Field("type", "layers").Key("diff_ids").Array();
  for (const Digest& diff_id : state.config.diff_ids)
    json.String(diff_id.string());
  json.End().End();
  json.Key("history").Array();
  for (const HistoryEntry& entry : state.history) {
    json.Object();
    WriteText(json, "created", entry.created);
    WriteText(json, "created_by", entry.created_by);
    WriteText(json, "comment", entry.comment);
    WriteText(json, "author", entry.author);
    if (entry.empty_layer)
      json.Field("empty_layer", true);
    json.End();
  }
  json.End().End();
  if (json.text().size() > oci::kMaxConfigBytes)
    return Invalid({"the image's configuration would be larger than ",
                    std::to_string(oci::kMaxConfigBytes), " bytes"});
  return json.Take();
}

}  // namespace wherry::build
