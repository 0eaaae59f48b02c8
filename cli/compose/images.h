// The images of a group: built, pulled, or here.
#pragma once

#include <string>
#include <vector>

#include "cli/compose/project.h"

namespace wherry::cli {

struct ServiceImage {
  std::string id;
  std::vector<std::string> volumes;  // paths that the image declares
};

enum class BuildWhen : uint8_t { kByPolicy, kAlways, kNever };

// Gets the image of a service by its pull policy, from its build or its registry, and looks it up.
Result<ServiceImage> ProvideImage(const ComposeCall& call, const compose::Service& service,
                                  BuildWhen build);

Result<int> ComposeBuild(const ComposeCall& call);
Result<int> ComposePull(const ComposeCall& call);
Result<int> ComposePush(const ComposeCall& call);
Result<int> ComposeImages(const ComposeCall& call);
std::span<const Option> ComposeBuildOptions();
std::span<const Option> ComposePullOptions();
std::span<const Option> ComposeImagesOptions();

}  // namespace wherry::cli
