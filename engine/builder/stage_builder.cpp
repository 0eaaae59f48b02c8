#include "engine/builder/stage_builder.h"

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

std::string ShortId(const Digest& id) {
  return id.hex().substr(0, 12);
}

// As Docker names a file and a line; the exit of a program is told in Docker's words alone.
Error AtLine(Error error, const std::string& file, int line) {
  return std::move(error).Wrap(Cat(file, ":", line));
}

bool IsCancelled(const Error& error) {
  return error.code() == Errc::kCancelled;
}

}  // namespace

Result<BuiltStage> StageBuilder::Run() {
  const std::string& file = job_.request_.dockerfile;
  auto begun = Begin();
  if (!begun && IsCancelled(begun.error()))
    return std::unexpected(std::move(begun).error());
  if (!begun)
    return std::unexpected(AtLine(std::move(begun).error(), file, stage_.line));
  for (const Instruction& instruction : stage_.instructions) {
    auto done = Step(instruction);
    if (done)
      continue;
    bool plain = IsCancelled(done.error()) || job_.exit_code_ != 0;
    return std::unexpected(plain ? std::move(done).error()
                                 : AtLine(std::move(done).error(), file, instruction.line));
  }
  // With all its history: stages from this one are in the cache only if that is.
  bool target = number_ == job_.plan_.target;
  if (!target && !state_->image().config.diff_ids.empty())
    image_ = TRY(job_.Commit(state_->image()));
  return BuiltStage{std::move(*state_), std::move(image_)};
}

Result<> StageBuilder::Begin() {
  TRY(job_.BeginStep(job_.TextOfLine(stage_.line)));
  if (stage_.base) {
    const BuiltStage& base = *job_.built_[*stage_.base];
    state_.emplace(base.state.Next());
    image_ = base.image;
    image_layers_ = state_->image().config.diff_ids.size();
    TRY(TellImage());
  } else if (stage_.image == build::kScratch) {
    state_.emplace(build::ScratchImage(stage_.platform), job_.plan_.arguments);
    TRY(job_.output_.Say(" ---> \n"));
  } else {
    TRY(BeginFromImage());
  }
  if (job_.request_.use_cache)
    cache_ = BuildCache(*job_.parts_.images, state_->image());
  return RunTriggers();
}

Result<> StageBuilder::BeginFromImage() {
  OpenImage image = TRY(job_.FindImage(stage_.image, stage_.platform));
  auto summary = TRY(job_.parts_.images->Inspect(image.id.string()));
  auto state = TRY(build::ParseImageState(summary.image->config));
  // Without a history, nothing else would tell the cache whose layers these are.
  if (state.history.empty()) {
    state.history.push_back({image.config.created, Cat("FROM ", image.id.string()), "", "", true});
  }
  state_.emplace(std::move(state), job_.plan_.arguments);
  image_layers_ = state_->image().config.diff_ids.size();
  TRY(job_.output_.Say(Cat(" ---> ", ShortId(image.id), "\n")));
  image_ = WrittenImage{image.id, image.manifest_digest, false, std::move(image.pin)};
  return {};
}

Result<> StageBuilder::RunTriggers() {
  auto triggers = state_->TakeTriggers();
  if (triggers.empty())
    return {};
  TRY(job_.output_.Say(Cat("# Executing ", triggers.size(), " build trigger",
                           triggers.size() > 1 ? "s" : "", "\n")));
  for (const std::string& trigger : triggers) {
    auto instruction = TRY_CTX(Cat("ONBUILD ", trigger), build::ParseTrigger(trigger));
    TRY_CTX(Cat("ONBUILD ", trigger), Execute(instruction));
  }
  return {};
}

Result<> StageBuilder::Step(const Instruction& instruction) {
  TRY(job_.BeginStep(instruction.text));
  TRY(Execute(instruction));
  return TellImage();
}

Result<> StageBuilder::Execute(const Instruction& instruction) {
  Instruction expanded = TRY(state_->Expand(instruction));
  std::optional<CopySources> sources;
  build::Outcome outcome;
  bool copies =
      expanded.keyword() == build::Keyword::kCopy || expanded.keyword() == build::Keyword::kAdd;
  if (copies) {
    sources = TRY(FindSources(expanded));
    outcome.sources = TRY(sources->Text());
  }
  std::string text = TRY(HistoryOf(expanded, outcome.sources));
  if (auto hit = cache_.Find(text)) {
    TRY(job_.output_.Say(" ---> Using cache\n"));
    outcome.created = hit->created;
    outcome.layer = hit->layer;
    return state_->Apply(expanded, outcome);
  }
  if (copies) {
    outcome.layer = TRY(Copy(expanded, *sources));
  } else if (const auto* run = std::get_if<build::Run>(&expanded.what)) {
    outcome.layer = TRY(Run(*run));
  } else if (const auto* workdir = std::get_if<build::Workdir>(&expanded.what)) {
    if (!workdir->path.empty())
      outcome.layer = TRY(MakeWorkdir(state_->Resolve(workdir->path)));
  }
  outcome.created = FormatRfc3339Nano(UnixNanosNow());
  return state_->Apply(expanded, outcome);
}

Result<std::string> StageBuilder::HistoryOf(const Instruction& expanded,
                                            const std::string& sources) const {
  build::StageState trial = *state_;
  TRY(trial.Apply(expanded, {.created = "", .layer = std::nullopt, .sources = sources}));
  return trial.image().history.back().created_by;
}

Result<> StageBuilder::TellImage() {
  const build::ImageState& state = state_->image();
  std::string created = state.history.empty() ? "" : state.history.back().created;
  std::string json = TRY(build::WriteImageState(state, created));
  return job_.output_.Say(Cat(" ---> ", ShortId(Digest::Of(json)), "\n"));
}

Result<const WrittenImage*> StageBuilder::CurrentImage() {
  const build::ImageState& state = state_->image();
  if (!image_ || image_layers_ != state.config.diff_ids.size()) {
    image_ = TRY(job_.Commit(state));
    image_layers_ = state.config.diff_ids.size();
  }
  return &*image_;
}

}  // namespace wherry::engine
