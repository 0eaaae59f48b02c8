#include "engine/commit.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/build/dockerfile.h"
#include "engine/build/stage_state.h"
#include "engine/root_view.h"

namespace wherry::engine {

namespace {

using build::Keyword;

// What Docker lets be changed by a commit.
constexpr Keyword kChangeable[] = {
    Keyword::kCmd,   Keyword::kEntrypoint, Keyword::kEnv,  Keyword::kExpose, Keyword::kHealthcheck,
    Keyword::kLabel, Keyword::kOnbuild,    Keyword::kUser, Keyword::kVolume, Keyword::kWorkdir,
};

// Where the runtime mounts something in every container.
constexpr const char* kRuntimePaths[] = {
    "dev",  "etc/hostname",     "etc/hosts", "etc/resolv.conf",
    "proc", "sbin/docker-init", "sys",       "usr/sbin/docker-init"};

std::vector<std::string> MountPoints(const ContainerConfig& config) {
  std::vector<std::string> points(std::begin(kRuntimePaths), std::end(kRuntimePaths));
  for (const MountRequest& mount : config.host.mounts)
    points.push_back(mount.target.substr(1));
  return points;
}

// The image's document with the container's configuration in the place of the image's.
Result<build::ImageState> StateOf(const std::string& image_json, const std::string& config_json) {
  auto image = TRY(JsonDocument::Parse(image_json, "image configuration"));
  JsonWriter json;
  json.Object();
  for (JsonValue member : image.root()) {
    if (member.key() != "config")
      json.Field(member.key(), member);
  }
  json.Key("config").Raw(config_json).End();
  return build::ParseImageState(json.text());
}

}  // namespace

Result<build::ImageState> ApplyChanges(build::ImageState state,
                                       const std::vector<std::string>& changes) {
  if (changes.empty())
    return state;
  build::BuildArguments arguments;
  build::StageState stage(std::move(state), arguments);
  auto parsed = TRY(build::ParseDockerfile(Join(changes, "\n")));
  for (const build::Statement& statement : parsed.statements) {
    bool allowed = std::find(std::begin(kChangeable), std::end(kChangeable), statement.keyword) !=
                   std::end(kChangeable);
    if (!allowed) {
      return Fail(Errc::kInvalid, Cat(ToLower(build::KeywordName(statement.keyword)),
                                      " is not a valid change command"));
    }
    auto instruction = TRY(build::ParseInstruction(statement));
    auto expanded = TRY(stage.Expand(instruction));
    TRY(stage.Apply(expanded, {}));
  }
  return stage.image();
}

ChangedContainer ChangesOf(const Container& container) {
  return {container.directory, container.image_id, container.manifest, container.config,
          container.pin};
}

Result<std::optional<store::OverlayChanges>> OpenContainerChanges(
    Images& images, const ChangedContainer& container) {
  std::string upper = Cat(container.directory, "/upper");
  if (!PathExists(upper))
    return std::nullopt;
  store::RootFs root = TRY_CTX("the container's image", images.Root(container.manifest));
  auto views = TRY(OpenChanges(root, upper, container.directory));
  return store::OverlayChanges(std::move(views), MountPoints(*container.config));
}

Result<WrittenImage> CommitContainer(Images& images, const ChangedContainer& container,
                                     const CommitRequest& request, const CancelFlag& cancel) {
  auto writer = TRY(ImageWriter::Begin(images, cancel));
  auto image = TRY(images.Inspect(container.image_id.string()));
  auto state = TRY(StateOf(image.image->config, container.config->config_json));
  auto history = state.history;
  state = TRY(ApplyChanges(std::move(state), request.changes));
  state.history = std::move(history);
  state.author = request.author;
  std::optional<Digest> layer;
  if (auto changes = TRY(OpenContainerChanges(images, container)))
    layer = TRY(writer->AddLayer(std::move(*changes)));
  if (layer)
    state.config.diff_ids.push_back(*layer);
  std::string now = FormatRfc3339Nano(UnixNanosNow());
  auto config = TRY(JsonDocument::Parse(container.config->config_json, "Config"));
  state.history.push_back({now, Join(config["Cmd"].strings(), " "), request.comment, request.author,
                           !layer.has_value()});
  std::string json = TRY(build::WriteImageState(state, now));
  std::vector<registry::Reference> names;
  if (request.name)
    names.push_back(*request.name);
  return writer->Commit(json, state.config.diff_ids, names);
}

}  // namespace wherry::engine
