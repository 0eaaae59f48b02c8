// One build from its request to the image: Docker's classic builder. Worker. The stages are
// stage_builder.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/build/plan.h"
#include "engine/build/stage_state.h"
#include "engine/builder/build_output.h"
#include "engine/builder/run_step.h"
#include "engine/builder/scratch.h"
#include "engine/image_writer.h"
#include "engine/images.h"
#include "store/store.h"

namespace wherry::engine {

struct BuildRequest {
  std::string dockerfile = "Dockerfile";  // in the context
  std::vector<registry::Reference> tags;
  std::string target;
  std::map<std::string, std::string> args;
  std::map<std::string, std::string> labels;
  std::string platform;     // empty: this machine
  std::string network;      // of RUN; empty: the default
  std::string host_config;  // JSON: members of the containers' HostConfig
  bool use_cache = true;
  bool pull = false;  // images that are here are looked for in the registry, too
  Quiet quiet = Quiet::kNo;
  std::map<std::string, registry::Credentials> credentials;  // by registry
  std::string (*progress_line)(const Progress&) = nullptr;
};

// A stage that is done; its image is in the store unless it has no layers.
struct BuiltStage {
  build::StageState state;
  std::optional<WrittenImage> image;
};

class BuildJob {
 public:
  // All outlive the job.
  struct Parts {
    Images* images;
    const store::Limits* limits;
    RunEnvironment run;
  };
  BuildJob(const Parts& parts, const BuildRequest& request, Scratch scratch, BuildOutput& output)
      : parts_(parts), request_(request), scratch_(std::move(scratch)), output_(output) {}
  // Removes what is not part of the result.
  ~BuildJob();
  BuildJob(const BuildJob&) = delete;
  BuildJob& operator=(const BuildJob&) = delete;

  Result<> TakeContext(ByteSource& archive);
  // The image's ID. Errors name the line of the Dockerfile.
  Result<Digest> Run();
  // After a failure: of the program of a RUN; 0: it was something else.
  int exit_code() const { return exit_code_; }

  // For the stages.
  Result<OpenImage> FindImage(const std::string& name, const oci::Platform& platform);
  // In the store, to be removed at the end unless it is kept.
  Result<WrittenImage> Commit(const build::ImageState& state);
  // A read-only view.
  Result<UniqueFd> OpenImageRoot(const Digest& manifest);
  Result<> BeginStep(std::string_view text);

 private:
  friend class StageBuilder;
  Result<> ReadDockerfile();
  Result<> HideFiles();
  void AddLabels();
  std::string TextOfLine(int line) const;
  void Keep(const Digest& id);
  void RemoveImages();

  Parts parts_;
  const BuildRequest& request_;
  Scratch scratch_;
  BuildOutput& output_;
  UniqueFd context_;
  build::Dockerfile dockerfile_;
  build::Plan plan_;
  std::unique_ptr<ImageWriter> writer_;
  std::vector<std::optional<BuiltStage>> built_;
  std::map<Digest, Digest> made_;  // images to be removed: ID and manifest
  size_t step_ = 0;
  size_t steps_ = 0;
  size_t runs_ = 0;
  int exit_code_ = 0;
};

}  // namespace wherry::engine
