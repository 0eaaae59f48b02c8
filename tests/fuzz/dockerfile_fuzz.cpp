// What a build is made from: any Dockerfile is refused or planned, and its stages are gone through
// as if they were built; any .dockerignore and any base image's configuration is taken or refused.
#include <cstdint>

#include "engine/build/ignore.h"
#include "engine/build/plan.h"
#include "engine/build/stage_state.h"

namespace {

namespace build = wherry::build;

void GoThrough(const build::Plan& plan, const build::Stage& stage) {
  build::StageState state(build::ScratchImage(stage.platform), plan.arguments);
  for (const build::Instruction& instruction : stage.instructions) {
    auto expanded = state.Expand(instruction);
    if (!expanded)
      return;
    if (const auto* run = std::get_if<build::Run>(&expanded->what)) {
      (void)state.Program(*run);
      (void)state.Mounts(*run);
    }
    if (!state.Apply(*expanded, {.created = "2026-01-01T00:00:00Z", .layer = {}, .sources = {}}))
      return;
  }
  (void)state.RunEnvironment();
  for (const std::string& trigger : state.TakeTriggers()) {
    if (!build::ParseTrigger(trigger))
      __builtin_trap();  // the instruction had been checked
  }
  auto json = build::WriteImageState(state.image(), "2026-01-01T00:00:00Z");
  if (json && !build::ParseImageState(*json))
    __builtin_trap();  // what is written can be read
}

void Ignore(std::string_view text) {
  auto list = build::IgnoreList::Parse(text);
  if (!list)
    return;
  for (std::string_view path : {"a", "a/b", "dir/file.txt", "\xff/a"}) {
    if (list->IgnoresTree(path) && !list->Ignores(path))
      __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)build::ParseImageState(text);
  Ignore(text);
  auto dockerfile = build::ParseDockerfile(text);
  if (!dockerfile)
    return 0;
  build::PlanOptions options;
  options.build_args = {{"given", "value"}};
  options.build_platform = options.target_platform = {"linux", "arm64", "v8"};
  auto plan = build::MakePlan(*dockerfile, std::move(options));
  if (!plan)
    return 0;
  for (size_t stage : plan->order)
    GoThrough(*plan, plan->stages[stage]);
  return 0;
}
