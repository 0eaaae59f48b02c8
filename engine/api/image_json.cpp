#include "engine/api/image_json.h"

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine::api {

namespace {

// The members of an image configuration's "config" that Docker shows, null when the image does not
// set them.
constexpr std::string_view kConfigKeys[] = {
    "User",       "ExposedPorts", "Env",     "Cmd",    "Healthcheck", "ArgsEscaped", "Volumes",
    "WorkingDir", "Entrypoint",   "OnBuild", "Labels", "StopSignal",  "StopTimeout", "Shell"};

Result<JsonDocument> ConfigOf(const ImageSummary& summary) {
  return JsonDocument::Parse(summary.image->config, "image configuration");
}

void WriteConfig(JsonWriter& json, std::string_view key, JsonValue config) {
  json.Key(key).Object();
  json.Field("Hostname", "")
      .Field("Domainname", "")
      .Field("AttachStdin", false)
      .Field("AttachStdout", false);
  json.Field("AttachStderr", false)
      .Field("Tty", false)
      .Field("OpenStdin", false)
      .Field("StdinOnce", false);
  json.Field("Image", "");
  for (std::string_view name : kConfigKeys) {
    JsonValue value = config[name];
    if (name == "User" || name == "WorkingDir") {
      json.Field(name, value.str());
    } else if (value || name == "Env" || name == "Cmd" || name == "Entrypoint" ||
               name == "Labels") {
      json.Field(name, value);
    }
  }
  json.End();
}

void WriteRootFs(JsonWriter& json, const store::Image& image) {
  json.Key("RootFS").Object().Field("Type", "layers").Key("Layers").Array();
  for (const store::LayerInfo& layer : image.layers)
    json.String(layer.diff_id.string());
  json.End().End();
}

}  // namespace

std::map<std::string, std::string> ImageLabels(const ImageSummary& summary) {
  std::map<std::string, std::string> labels;
  auto config = ConfigOf(summary);
  if (!config)
    return labels;
  for (JsonValue label : (*config)["config"]["Labels"])
    labels.emplace(label.key(), label.str());
  return labels;
}

int64_t ImageCreated(const ImageSummary& summary) {
  auto config = ConfigOf(summary);
  auto created = ParseRfc3339(config ? (*config)["created"].str() : "");
  return created ? *created : 0;
}

void WriteImageSummary(JsonWriter& json, const ImageSummary& summary, const ImageSize* size) {
  const store::Image& image = *summary.image;
  auto config = ConfigOf(summary);
  JsonValue root = config ? config->root() : JsonValue();
  auto created = ParseRfc3339(root["created"].str());
  json.Object().Field("Id", image.config_digest.string()).Field("ParentId", "");
  json.Field("RepoTags", summary.repo_tags).Field("RepoDigests", summary.repo_digests);
  json.Field("Created", created ? *created / 1'000'000'000 : 0);
  uint64_t bytes = size != nullptr ? size->total : image.size_bytes;
  json.Field("Size", bytes).Field("VirtualSize", bytes);
  json.Field("SharedSize", size != nullptr ? static_cast<int64_t>(size->shared) : int64_t{-1});
  json.Key("Labels");
  JsonValue labels = root["config"]["Labels"];
  labels.IsObject() ? json.Value(labels) : json.Object().End();
  json.Field("Containers", size != nullptr ? static_cast<int64_t>(size->containers) : int64_t{-1})
      .End();
}

Result<std::string> ImageHistoryJson(const ImageSummary& summary) {
  const store::Image& image = *summary.image;
  auto config = TRY(ConfigOf(summary));
  // Each step but those without a layer made the next one.
  struct Step {
    JsonValue history;
    uint64_t size = 0;
  };
  std::vector<Step> steps;
  size_t layer = 0;
  for (JsonValue history : config["history"]) {
    bool empty = history["empty_layer"].boolean() || layer == image.layers.size();
    steps.push_back({history, empty ? 0 : image.layers[layer++].size_bytes});
  }
  JsonWriter json;
  json.Array();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    auto created = ParseRfc3339(step->history["created"].str());
    bool last = step == steps.rbegin();
    json.Object().Field("Id", last ? image.config_digest.string() : std::string("<missing>"));
    json.Field("Created", created ? *created / 1'000'000'000 : 0);
    json.Field("CreatedBy", step->history["created_by"].str()).Key("Tags");
    json.Strings(last ? summary.repo_tags : std::vector<std::string>());
    json.Field("Size", step->size).Field("Comment", step->history["comment"].str()).End();
  }
  json.End();
  return json.Take();
}

Result<std::string> ImageInspectJson(const ImageSummary& summary) {
  const store::Image& image = *summary.image;
  auto config = TRY(ConfigOf(summary));
  std::string_view created = config["created"].str();
  JsonWriter json;
  json.Object().Field("Id", image.config_digest.string());
  json.Field("RepoTags", summary.repo_tags)
      .Field("RepoDigests", summary.repo_digests)
      .Field("Parent", "");
  JsonValue history = config["history"];
  JsonValue last = history.size() > 0 ? history.at(history.size() - 1) : JsonValue();
  json.Field("Comment", last["comment"].str());
  json.Field("Created", created.empty() ? "0001-01-01T00:00:00Z" : created);
  json.Field("DockerVersion", config["docker_version"].str())
      .Field("Author", config["author"].str());
  // Older clients read ContainerConfig without asking whether it is there.
  WriteConfig(json, "Config", config["config"]);
  WriteConfig(json, "ContainerConfig", config["config"]);
  json.Field("Architecture", config["architecture"].str());
  if (config["variant"])
    json.Field("Variant", config["variant"].str());
  json.Field("Os", config["os"].str())
      .Field("Size", image.size_bytes)
      .Field("VirtualSize", image.size_bytes);
  json.Key("GraphDriver").Object().Field("Name", "overlayfs").Key("Data").Object().End().End();
  WriteRootFs(json, image);
  json.Key("Metadata")
      .Object()
      .Field("LastTagTime", FormatRfc3339NanoOrZero(image.created_unix_nanos))
      .End();
  json.End();
  return json.Take();
}

std::string PullPlanJson(const PullPlan& plan) {
  JsonWriter json;
  json.Object().Field("Known", plan.known).Key("Layers").Array();
  for (const PullPlan::Layer& layer : plan.layers) {
    json.Object().Field("Id", layer.id).Field("Size", layer.size);
    json.Field("Here", layer.here).End();
  }
  json.End().Field("Download", plan.download_bytes).Field("Write", plan.write_bytes);
  json.Field("Peak", plan.write_bytes).Field("Fits", plan.refusal.empty());
  json.Field("Refusal", plan.refusal).End();
  return json.Take();
}

std::string ProgressLine(const Progress& progress) {
  JsonWriter json;
  json.Object().Field("status", progress.status);
  json.Key("progressDetail").Object();
  if (progress.total > 0)
    json.Field("current", progress.current).Field("total", progress.total);
  json.End();
  if (!progress.id.empty())
    json.Field("id", progress.id);
  json.End();
  return Cat(json.text(), "\r\n");
}

}  // namespace wherry::engine::api
