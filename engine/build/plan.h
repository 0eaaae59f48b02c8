// A Dockerfile as stages to build: which are needed for a target, what each is FROM, and its
// instructions, all checked. Hostile input; thread-safe, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/platform.h"
#include "engine/build/dockerfile.h"
#include "engine/build/instruction.h"
#include "engine/build/stage_state.h"

namespace wherry::build {

inline constexpr std::string_view kScratch = "scratch";

struct PlanOptions {
  std::string target;  // name or number of a stage; empty: the last
  std::map<std::string, std::string> build_args;
  oci::Platform build_platform;
  oci::Platform target_platform;
};

struct Stage {
  std::string name;            // in lower case; may be empty
  std::string image;           // empty when it is from an earlier stage; may be kScratch
  std::optional<size_t> base;  // that stage
  oci::Platform platform;      // of the image
  std::vector<Instruction> instructions;
  std::vector<size_t> uses;  // earlier stages that COPY and RUN --mount take files from
  int line = 0;
};

struct Plan {
  std::vector<Stage> stages;
  size_t target = 0;
  std::vector<size_t> order;  // what the target needs, in the order to build; itself last
  BuildArguments arguments;
  std::vector<std::string> unused_args;  // given, but no ARG asks for them

  // The stage that `reference` of COPY --from or RUN --mount from= names within stage `current`;
  // nothing when it names an image. kInvalid for a stage that comes later.
  Result<std::optional<size_t>> FindStage(std::string_view reference, size_t current) const;
};

Result<Plan> MakePlan(const Dockerfile& dockerfile, PlanOptions options);

}  // namespace wherry::build
