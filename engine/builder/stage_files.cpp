// The instructions of a stage that change files: RUN, COPY, ADD, WORKDIR.
#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "engine/builder/stage_builder.h"
#include "engine/root_view.h"

namespace wherry::engine {

namespace {

constexpr uint32_t kScriptMode = 0755;

std::unexpected<Error> Unsupported(std::string_view what) {
  return Fail(Errc::kUnsupported, Cat(what, " is not supported"));
}

struct Refusal {
  bool used;
  std::string_view what;
};

Result<> CheckAdd(const build::Add& add) {
  const Refusal rows[] = {
      {!add.checksum.empty(), "ADD --checksum"},
      {add.keep_git_dir.has_value(), "ADD --keep-git-dir"},
      {!add.sources.exclude.empty(), "ADD --exclude"},
  };
  for (const Refusal& row : rows) {
    if (row.used)
      return Unsupported(row.what);
  }
  for (const std::string& path : add.sources.paths) {
    for (std::string_view scheme : {"http://", "https://", "git@", "git://", "ssh://"}) {
      if (path.starts_with(scheme))
        return Unsupported(Cat("ADD of an address (", path.substr(0, 100), ")"));
    }
  }
  return {};
}

Result<> CheckCopy(const build::Copy& copy) {
  if (copy.parents)
    return Unsupported("COPY --parents");
  if (!copy.sources.exclude.empty())
    return Unsupported("COPY --exclude");
  return {};
}

Result<CopyMetadata> MetadataOf(const build::Sources& sources, bool keep_owner, int root) {
  CopyMetadata metadata;
  if (!sources.chown.empty()) {
    metadata.owner = TRY_CTX("--chown", ResolveOwner(sources.chown, root));
    metadata.of_archives = metadata.owner;
  } else if (!keep_owner) {
    metadata.owner = {0, 0};
  }
  if (!sources.chmod.empty()) {
    auto mode = ParseOctal(sources.chmod);
    if (!mode || *mode > 07777)
      return Unsupported(Cat("--chmod=", sources.chmod.substr(0, 100), ", which is not octal,"));
    metadata.mode = *mode;
  }
  return metadata;
}

// Whether a destination can be nothing else than a directory.
bool IsDirectory(std::string_view path) {
  return path == "." || path == ".." || path.ends_with('/') || path.ends_with("/.") ||
         path.ends_with("/..");
}

const build::Sources& SourcesOf(const build::Instruction& expanded) {
  const auto* copy = std::get_if<build::Copy>(&expanded.what);
  return copy != nullptr ? copy->sources : std::get<build::Add>(expanded.what).sources;
}

bool KeepsOwner(const build::Instruction& expanded) {
  const auto* copy = std::get_if<build::Copy>(&expanded.what);
  return copy != nullptr && !copy->from.empty() && copy->sources.chown.empty();
}

void WriteScript(JsonWriter& json, const std::string& source, const std::string& name) {
  json.Object().Field("Type", "bind").Field("Source", source);
  json.Field("Target", Cat("/dev/pipes/", name)).Field("ReadOnly", true).End();
}

void WriteTmpfs(JsonWriter& json, const build::Mount& mount, const std::string& target) {
  json.Object().Field("Type", "tmpfs").Field("Target", target);
  if (mount.size_bytes != 0)
    json.Key("TmpfsOptions").Object().Field("SizeBytes", mount.size_bytes).End();
  json.End();
}

}  // namespace

Result<CopySources> StageBuilder::FindSources(const Instruction& expanded) {
  CopyOptions options;
  std::string from;
  if (const auto* copy = std::get_if<build::Copy>(&expanded.what)) {
    TRY(CheckCopy(*copy));
    from = copy->from;
    options.owners = KeepsOwner(expanded) ? OwnersCount::kYes : OwnersCount::kNo;
  } else {
    const auto& add = std::get<build::Add>(expanded.what);
    TRY(CheckAdd(add));
    options.instruction = "ADD";
    options.unpack = add.unpack.value_or(true);
  }
  if (from.empty())
    return CopySources::Find(job_.context_.get(), SourcesOf(expanded), options);
  UniqueFd root = TRY_CTX(Cat(options.instruction, " --from=", from), OpenOrigin(from));
  return CopySources::Find(root.get(), SourcesOf(expanded), options);
}

// The root file system of an earlier stage or of an image.
Result<UniqueFd> StageBuilder::OpenOrigin(const std::string& from) {
  auto number = TRY(job_.plan_.FindStage(from, number_));
  if (!number) {
    OpenImage image = TRY(job_.FindImage(from, stage_.platform));
    return job_.OpenImageRoot(image.manifest_digest);
  }
  const auto& built = job_.built_[*number];
  if (!built)  // named by a trigger alone
    return Fail(Errc::kInvalid, "the stage was not built");
  if (!built->image)
    return Fail(Errc::kInvalid, "the stage has no files");
  return job_.OpenImageRoot(built->image->manifest);
}

Result<StageBuilder::Layer> StageBuilder::Copy(const Instruction& expanded,
                                               const CopySources& sources) {
  const build::Sources& written = SourcesOf(expanded);
  return ChangeRoot([&](int root) -> Result<> {
    CopyTarget target;
    target.root = root;
    target.path = state_->Resolve(written.destination);
    target.directory = IsDirectory(written.destination);
    target.metadata = TRY(MetadataOf(written, KeepsOwner(expanded), root));
    target.limits = *job_.parts_.limits;
    return sources.CopyTo(target);
  });
}

Result<StageBuilder::Layer> StageBuilder::MakeWorkdir(const std::string& path) {
  return ChangeRoot([&](int root) -> Result<> {
    TRY(sys::OpenOrCreateInRoot(root, path, sys::CreateAs::kDirectory));
    return {};
  });
}

Result<StageBuilder::Layer> StageBuilder::ChangeRoot(
    std::move_only_function<Result<>(int root)> change) {
  const Scratch& scratch = job_.scratch_;
  TRY(scratch.ClearUpper());
  std::string upper = scratch.At("upper");
  store::OverlayViews views;
  if (state_->image().config.diff_ids.empty()) {
    // Nothing to lay it over.
    std::string base = scratch.At("base");
    TRY(MakeDirs(upper, 0755));
    TRY(MakeDirs(base, 0755));
    views.upper = TRY(OpenDir(upper));
    views.merged = TRY(OpenDir(upper));
    views.base = TRY(OpenDir(base));
    TRY(change(views.merged.get()));
  } else {
    const WrittenImage* image = TRY(CurrentImage());
    store::RootFs root = TRY(job_.parts_.images->Root(image->manifest));
    TRY(MakeUpper(upper, root));
    TRY(MakeDirs(scratch.At("work"), 0700));
    UniqueFd merged = TRY(OpenRoot(root, {upper, scratch.At("work")}, scratch.directory()));
    TRY(change(merged.get()));
    merged.Reset();
    views = TRY(OpenChanges(root, upper, scratch.directory()));
  }
  auto layer = TRY(job_.writer_->AddLayer(store::OverlayChanges(std::move(views), {})));
  TRY(scratch.ClearUpper());
  return layer;
}

Result<StageBuilder::Layer> StageBuilder::Run(const build::Run& run) {
  build::RunProgram program = state_->Program(run);
  std::string body = TRY(RunBody(run, program));
  std::string name = Cat("build-", job_.scratch_.id(), "-", ++job_.runs_);
  TRY(job_.scratch_.NoteContainer(name));
  Layer layer;
  std::string id;
  {
    RunStep step(job_.parts_.run, name);
    id = TRY(step.Create(body)).substr(0, 12);
    TRY(job_.output_.Say(Cat(" ---> Running in ", id, "\n")));
    int code = TRY(step.Run(job_.output_));
    if (code != 0) {
      job_.exit_code_ = code;
      return Fail(Errc::kInvalid, Cat("The command '", Join(program.argv, " "),
                                      "' returned a non-zero code: ", code));
    }
    auto changes = TRY(OpenContainerChanges(*job_.parts_.images, step.Changes()));
    if (changes)
      layer = TRY(job_.writer_->AddLayer(std::move(*changes)));
  }
  TRY(job_.output_.Say(Cat(" ---> Removed intermediate container ", id, "\n")));
  return layer;
}

Result<std::string> StageBuilder::RunBody(const build::Run& run, const build::RunProgram& program) {
  if (state_->image().config.diff_ids.empty())
    return Fail(Errc::kInvalid, "the image has no layers: there is nothing to run");
  const WrittenImage* image = TRY(CurrentImage());
  const oci::ImageConfig& config = state_->image().config;
  JsonWriter json;
  json.Object().Field("Image", image->id.string());
  json.Field("Entrypoint", program.argv).Field("Cmd", std::vector<std::string>());
  json.Field("Env", state_->RunEnvironment()).Field("User", config.user);
  json.Field("WorkingDir", config.working_dir).Key("Volumes").Object();
  for (const std::string& volume : config.volumes)
    json.Key(volume).Object().End();
  // The image's would watch what is built.
  json.End().Key("Healthcheck").Object().Field("Test", std::vector<std::string>{"NONE"}).End();
  json.Key("HostConfig").Object();
  auto host = TRY(JsonDocument::Parse(job_.request_.host_config, "HostConfig"));
  for (JsonValue member : host.root())
    json.Field(member.key(), member);
  bool own = !run.network.empty() && run.network != "default";
  json.Field("NetworkMode", own ? run.network : job_.request_.network);
  json.Key("LogConfig").Object().Field("Type", "none").End().Key("Mounts").Array();
  for (const build::Mount& mount : TRY(state_->Mounts(run))) {
    if (mount.type != build::Mount::Type::kTmpfs)
      return Unsupported(Cat("RUN --mount=type=", build::MountTypeName(mount.type)));
    WriteTmpfs(json, mount, state_->Resolve(mount.target));
  }
  if (!program.script_name.empty()) {
    std::string script = job_.scratch_.At("script");
    TRY(ReplaceFile(script, program.script, kScriptMode, Durability::kVolatile));
    WriteScript(json, script, program.script_name);
  }
  json.End().End().End();
  return json.Take();
}

}  // namespace wherry::engine
