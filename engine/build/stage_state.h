// A stage while it is built: the configuration of its image and the variables in scope. Each
// instruction is expanded, carried out by who builds (files and processes are not known here), and
// then applied. Hostile input; thread-safe, one thread for each object.
//   StageState stage(ParseImageState(base).., arguments);
//   for each instruction: auto expanded = stage.Expand(instruction); ...; stage.Apply(expanded, ..)
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "engine/build/image_state.h"
#include "engine/build/instruction.h"
#include "engine/build/run_mount.h"
#include "engine/build/word.h"

namespace wherry::build {

// What all stages of a build share.
struct BuildArguments {
  std::map<std::string, std::string> given;  // --build-arg
  Variables global;                          // ARG before FROM, TARGETPLATFORM etc.
  char escape = '\\';
};

// HTTP_PROXY and the like: given to every RUN without an ARG, and not in the history.
bool IsPredefinedArgument(std::string_view name);

// What carrying out an instruction has led to.
struct Outcome {
  std::string created;          // RFC 3339
  std::optional<Digest> layer;  // its diffID; nothing when no file changed
  std::string sources;          // of COPY and ADD, for the history: "file:1234", "multi:1234"
};

// What RUN starts.
struct RunProgram {
  std::vector<std::string> argv;
  std::string script_name;  // to be found as /dev/pipes/NAME, executable; empty: no script
  std::string script;
};

class StageState {
 public:
  static constexpr size_t kMaxGrowthBytes = size_t{4} << 20;

  StageState(ImageState base, const BuildArguments& arguments);
  // A stage FROM this one: as it is, except for what counts within a stage.
  StageState Next() const;

  // The expressions of the base's ONBUILD instructions, to be parsed by ParseTrigger and carried
  // out before the stage's own. The image has none of them any more.
  std::vector<std::string> TakeTriggers();

  Result<Instruction> Expand(const Instruction& instruction) const;
  // Changes the configuration and adds to the history. `expanded` is what Expand has given. Not for
  // FROM.
  Result<> Apply(const Instruction& expanded, const Outcome& outcome);

  RunProgram Program(const Run& run) const;
  Result<std::vector<Mount>> Mounts(const Run& run) const;
  std::vector<std::string> RunEnvironment() const;
  // Where WORKDIR with `path` leads; relative sources and destinations likewise.
  std::string Resolve(std::string_view path) const;

  const ImageState& image() const { return image_; }

 private:
  friend class Application;
  void SetEnv(const std::string& name, const std::string& value);
  Result<> Declare(const Arg::Definition& definition, std::vector<std::string>& shown);
  std::vector<std::string> ShellOf(const CommandLine& command) const;

  ImageState image_;
  const BuildArguments* arguments_;
  Variables variables_;                      // ENV, and ARG where no ENV is
  std::map<std::string, std::string> args_;  // in scope, with their values
  bool cmd_set_ = false;
  size_t growth_ = 0;  // bytes the instructions have added
};

}  // namespace wherry::build
