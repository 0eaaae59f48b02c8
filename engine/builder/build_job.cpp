#include "engine/builder/build_job.h"

#include <fcntl.h>

#include <chrono>
#include <set>
#include <thread>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci/platform.h"
#include "core/sys/path.h"
#include "engine/build/ignore.h"
#include "engine/build/path.h"
#include "engine/builder/stage_builder.h"
#include "engine/builder/unpack.h"
#include "engine/root_view.h"
#include "store/decompress.h"

namespace wherry::engine {

namespace {

// What its parents say the image was made at.
std::string CreatedAt(const build::ImageState& state) {
  return state.history.empty() ? FormatRfc3339Nano(UnixNanosNow()) : state.history.back().created;
}

}  // namespace

BuildJob::~BuildJob() {
  built_.clear();
  writer_.reset();
  if (parts_.run.ended->load())
    return;  // the next daemon removes what is noted
  RemoveImages();
  if (!made_.empty())
    return;  // likewise
  auto removed = scratch_.Remove();
  if (!removed)
    LogWarning("files of a build are left behind: ", removed.error().message());
}

// The loop may still be about to let go of the last container.
void BuildJob::RemoveImages() {
  constexpr int kAttempts = 40;
  for (int attempt = 0; !made_.empty() && attempt < kAttempts; ++attempt) {
    if (attempt > 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    std::set<Digest> manifests;
    for (const auto& [id, manifest] : made_)
      manifests.insert(manifest);
    auto pruned = parts_.images->Prune(manifests);
    if (!pruned)
      return LogWarning("images of a build are left behind: ", pruned.error().message());
    for (const Digest& id : pruned->removed.deleted)
      made_.erase(id);
  }
}

Result<> BuildJob::TakeContext(ByteSource& archive) {
  // First, because from then on the end of the daemon ends the reading.
  writer_ = TRY(ImageWriter::Begin(*parts_.images, parts_.run.cancel));
  context_ = TRY(OpenDir(scratch_.At("context")));
  auto tar = TRY_CTX("build context",
                     store::Decompress(archive, store::Compression::kNone, *parts_.limits));
  TRY_CTX("build context",
          Unpack(*tar, context_.get(), "",
                 {Devices::kRefuse, std::pair{0U, 0U}, parts_.limits->reserve_bytes}));
  return {};
}

Result<> BuildJob::ReadDockerfile() {
  auto file = sys::OpenInRoot(context_.get(), request_.dockerfile, O_RDONLY | O_NONBLOCK);
  if (!file) {
    return Fail(Errc::kInvalid, Cat("Cannot locate specified Dockerfile: ", request_.dockerfile));
  }
  std::string text = TRY(ReadAll(file->get(), build::kMaxDockerfileBytes, request_.dockerfile));
  dockerfile_ = TRY(build::ParseDockerfile(text));
  TRY(HideFiles());
  build::PlanOptions options;
  options.target = request_.target;
  options.build_args = request_.args;
  options.build_platform = options.target_platform = oci::HostPlatform();
  if (!request_.platform.empty())
    options.target_platform = TRY(oci::ParsePlatform(request_.platform));
  plan_ = TRY(build::MakePlan(dockerfile_, std::move(options)));
  return {};
}

// Clients send Dockerfile and .dockerignore even when that names them; COPY does not see them then.
Result<> BuildJob::HideFiles() {
  constexpr const char* kIgnoreFile = ".dockerignore";
  auto file = sys::OpenInRoot(context_.get(), kIgnoreFile, O_RDONLY | O_NONBLOCK);
  if (!file)
    return {};
  std::string text = TRY(ReadAll(file->get(), build::kMaxIgnoreBytes, kIgnoreFile));
  auto ignored = TRY_CTX(kIgnoreFile, build::IgnoreList::Parse(text));
  for (const std::string& name :
       {build::CleanPath(request_.dockerfile), std::string(kIgnoreFile)}) {
    if (!ignored.Ignores(name))
      continue;
    PathParts parts = SplitPath(name);
    auto directory = sys::OpenInRoot(context_.get(), parts.dir, O_PATH | O_DIRECTORY);
    if (directory)
      TRY(RemoveTreeAt(directory->get(), parts.name));
  }
  return {};
}

// As a last instruction of the target.
void BuildJob::AddLabels() {
  if (request_.labels.empty())
    return;
  build::Label label;
  std::string text = "LABEL";
  for (const auto& [name, value] : request_.labels) {
    label.labels.push_back({name, value});
    Append(text, " ", name, "=", value);
  }
  build::Stage& target = plan_.stages[plan_.target];
  target.instructions.push_back({std::move(label), std::move(text), target.line});
}

std::string BuildJob::TextOfLine(int line) const {
  for (const build::Statement& statement : dockerfile_.statements) {
    if (statement.first_line == line)
      return statement.text;
  }
  return {};
}

Result<Digest> BuildJob::Run() {
  TRY(ReadDockerfile());
  AddLabels();
  built_.resize(plan_.stages.size());
  for (size_t number : plan_.order)
    steps_ += 1 + plan_.stages[number].instructions.size();
  for (size_t number : plan_.order)
    built_[number] = TRY(StageBuilder(*this, number).Run());
  if (!plan_.unused_args.empty()) {
    TRY(output_.Say(Cat("[Warning] One or more build-args [", Join(plan_.unused_args, " "),
                        "] were not consumed\n")));
  }
  const build::ImageState& state = built_[plan_.target]->state.image();
  std::string json = TRY(build::WriteImageState(state, CreatedAt(state)));
  WrittenImage image = TRY(writer_->Commit(json, state.config.diff_ids, request_.tags));
  // What other stages made stays for the cache, as in Docker: images without a name.
  for (size_t number : plan_.order) {
    const auto& stage = built_[number];
    if (number != plan_.target && stage->image)
      Keep(stage->image->id);
  }
  Keep(image.id);
  return image.id;
}

void BuildJob::Keep(const Digest& id) {
  made_.erase(id);
  scratch_.Forget(id);
}

Result<> BuildJob::BeginStep(std::string_view text) {
  if (parts_.run.cancel->load() || parts_.run.ended->load())
    return Fail(Errc::kCancelled, "the build was cancelled");
  ++step_;
  return output_.Say(Cat("Step ", step_, "/", std::max(step_, steps_), " : ", text, "\n"));
}

Result<OpenImage> BuildJob::FindImage(const std::string& name, const oci::Platform& platform) {
  Images& images = *parts_.images;
  if (!request_.pull) {
    auto here = images.Open(name);
    if (here || here.error().code() != Errc::kNotFound)
      return here;
  }
  PullRequest pull;
  pull.reference = TRY(registry::Reference::Parse(name));
  oci::Platform host = oci::HostPlatform();
  if (platform.os != host.os || platform.architecture != host.architecture ||
      platform.variant != host.variant) {
    pull.platform = Cat(platform.os, "/", platform.architecture,
                        platform.variant.empty() ? "" : "/", platform.variant);
  }
  auto login = request_.credentials.find(pull.reference.registry);
  if (login != request_.credentials.end())
    pull.credentials = login->second;
  pull.cancel = parts_.run.cancel;
  TRY(images.Pull(std::move(pull), [this](const Progress& progress) {
    return output_.Pass(request_.progress_line(progress));
  }));
  return images.Open(name);
}

Result<WrittenImage> BuildJob::Commit(const build::ImageState& state) {
  std::string json = TRY(build::WriteImageState(state, CreatedAt(state)));
  Digest id = Digest::Of(json);
  TRY(scratch_.NoteImage(id));
  WrittenImage image = TRY(writer_->Commit(json, state.config.diff_ids, {}));
  if (image.fresh) {
    made_[id] = image.manifest;
  } else if (!made_.contains(id)) {
    scratch_.Forget(id);
  }
  return image;
}

Result<UniqueFd> BuildJob::OpenImageRoot(const Digest& manifest) {
  store::RootFs root = TRY(parts_.images->Root(manifest));
  return OpenRoot(root, scratch_.directory());
}

}  // namespace wherry::engine
