// One stage of a build: FROM, then instruction after instruction, from the cache as long as it has
// them. Worker.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/build/plan.h"
#include "engine/builder/build_cache.h"
#include "engine/builder/build_job.h"
#include "engine/builder/copy_sources.h"

namespace wherry::engine {

class StageBuilder {
 public:
  StageBuilder(BuildJob& job, size_t number)
      : job_(job), number_(number), stage_(job.plan_.stages[number]) {}

  Result<BuiltStage> Run();

 private:
  using Instruction = build::Instruction;
  using Layer = std::optional<Digest>;

  // FROM.
  Result<> Begin();
  Result<> BeginFromImage();
  Result<> RunTriggers();

  Result<> Step(const Instruction& instruction);
  Result<> Execute(const Instruction& instruction);
  // What the instruction leaves in the history.
  Result<std::string> HistoryOf(const Instruction& expanded, const std::string& sources) const;
  Result<> TellImage();

  // Those that change files: stage_files.cpp.
  Result<CopySources> FindSources(const Instruction& expanded);
  Result<UniqueFd> OpenOrigin(const std::string& from);
  Result<Layer> Copy(const Instruction& expanded, const CopySources& sources);
  Result<Layer> Run(const build::Run& run);
  Result<std::string> RunBody(const build::Run& run, const build::RunProgram& program);
  Result<Layer> MakeWorkdir(const std::string& path);

  // The image with the layers so far.
  Result<const WrittenImage*> CurrentImage();
  // Lets `change` write to the root file system so far; what it changed is a layer.
  Result<Layer> ChangeRoot(std::move_only_function<Result<>(int root)> change);

  BuildJob& job_;
  size_t number_;
  const build::Stage& stage_;
  std::optional<build::StageState> state_;
  BuildCache cache_;
  std::optional<WrittenImage> image_;
  size_t image_layers_ = 0;  // of image_
};

}  // namespace wherry::engine
